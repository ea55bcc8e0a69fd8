"""A data loader that notices at once that its thread for pinned memory has ended."""

import time

from torch.utils.data import DataLoader
from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter


class _WatchedIterator(_MultiProcessingDataLoaderIter):
    """Torch's iterator, which with a timeout waits for a batch until then, also for one that cannot come."""

    def _get_data(self):
        if self._timeout <= 0 or not self._pin_memory:
            return super()._get_data()
        end = time.monotonic() + self._timeout
        while (left := end - time.monotonic()) > 0:
            success, data = self._try_get_data(min(left, MP_STATUS_CHECK_INTERVAL))
            if success:
                return data
            if not self._pin_memory_thread.is_alive():
                raise RuntimeError('Pin memory thread exited unexpectedly')  # torch's error if there is no timeout
        raise RuntimeError(f'DataLoader timed out after {self._timeout} seconds')


class _WatchedLoader(DataLoader):
    def _get_iterator(self) -> _BaseDataLoaderIter:
        if self.num_workers == 0:
            return super()._get_iterator()
        self.check_worker_number_rationality()
        return _WatchedIterator(self)


def watched(loader: DataLoader) -> DataLoader:
    """Return a data loader that fails within seconds if the thread that copies batches into pinned memory has ended.

    Args:
        loader: The loader, which is changed; one of another class than torch's stays as it is.
    """
    if type(loader) is DataLoader:
        loader.__class__ = _WatchedLoader
    return loader
