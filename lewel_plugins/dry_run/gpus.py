"""GPUs by their data sheets, and the speed of a step to be expected on them.

Peak rates are without sparsity. What networks reach of them is an assumption, stated below; no GPU has confirmed it.
"""

from dataclasses import dataclass

from lewel_plugins.errors import SetupError

from .counters import Kernel
from .step import StepRecord


@dataclass(frozen=True)
class GPU:
    """A GPU.

    Attributes:
        title: Its name in full.
        half: Peak of dense matrix products in bfloat16 and float16 with sums in float32, TFLOPS.
        tf32: The same in TF32.
        float32: Peak in float32 without tensor cores, TFLOPS.
        bandwidth: Of its memory, GB/s.
        memory: GiB.
    """

    title: str
    half: float
    tf32: float
    float32: float
    bandwidth: float
    memory: float


GPUS = {
    # NVIDIA A100 data sheet (2021): SXM models.
    'a100-40gb': GPU('NVIDIA A100 40 GB (SXM)', 312, 156, 19.5, 1555, 40),
    'a100-80gb': GPU('NVIDIA A100 80 GB (SXM)', 312, 156, 19.5, 2039, 80),
    # NVIDIA H100 data sheet (2023), which states rates with sparsity: half of them.
    'h100-pcie': GPU('NVIDIA H100 PCIe', 756, 378, 51, 2000, 80),
    'h100': GPU('NVIDIA H100 (SXM)', 989, 494, 67, 3350, 80),
    # NVIDIA H200 data sheet (2024): the same chip; 141 GB, of which some 139 GiB are usable.
    'h200': GPU('NVIDIA H200 (SXM)', 989, 494, 67, 4800, 139),
    # NVIDIA L40S data sheet (2023); 48 GB, which CUDA reports as 46,068 MiB.
    'l40s': GPU('NVIDIA L40S', 362, 183, 91.6, 864, 44.9),
    # NVIDIA Ada (2022) and Ampere GA102 (2020) white papers: with sums in float32, at which consumer models are halved.
    'rtx-4090': GPU('NVIDIA GeForce RTX 4090', 165.2, 82.6, 82.6, 1008, 24),
    'rtx-3090': GPU('NVIDIA GeForce RTX 3090', 71, 35.6, 35.6, 936, 24),
}

# Assumptions, as (slow, fast).
SHARE_OF_PEAK = (0.25, 0.6)  # that matrix products and convolutions reach
SHARE_OF_BANDWIDTH = (0.6, 0.9)  # that everything else reaches
SECONDS_PER_CALL = (10e-6, 5e-6)  # time in which the host launches one aten call
NODE_BANDWIDTH = (100e9, 300e9)  # bytes/s per GPU in collectives, on one node of 8 with NVLink
NETWORK_BANDWIDTH = (10e9, 40e9)  # the same over several nodes
SECONDS_PER_COLLECTIVE = (40e-6, 15e-6)
GPUS_PER_NODE = 8
_BUCKET = 25 * 2**20  # bytes of a bucket of DDP
MARGIN, RESERVED = 1.1, 2 * 2**30  # for fragmentation; for CUDA's context, NCCL and cuDNN


def find_gpu(name: str) -> GPU:
    """Return a GPU by its name in :data:`GPUS`.

    Raises:
        SetupError: There is none of this name.
    """
    if name not in GPUS:
        raise SetupError(f'--gpu {name!r} is not known: choose one of {", ".join(GPUS)}')
    return GPUS[name]


def needed_memory(record: StepRecord) -> float:
    """Return the bytes that a step needs on each GPU: 1.1 × peak + DDP's buckets + 2 GiB."""
    return MARGIN * record.peak + bucket_bytes(record) + RESERVED


def bucket_bytes(record: StepRecord) -> int:
    """Return the bytes of DDP's buckets, which hold all gradients a second time."""
    return record.trainable_bytes if record.world_size > 1 else 0


def images_per_second(record: StepRecord, gpu: GPU) -> tuple[float, float]:
    """Return the images per second to be expected on all GPUs together, as (lowest, highest).

    The kernels take their time, or the host takes longer to launch them. Collectives run beside them in the best case,
    and after them in the worst. Decoding of images is not included.
    """
    images = record.world_size * record.batch
    slow = max(_kernel_seconds(record, gpu, 0), _launch_seconds(record, 0)) + _collective_seconds(record, 0)
    fast = max(_kernel_seconds(record, gpu, 1), _launch_seconds(record, 1), _collective_seconds(record, 1))
    return images / slow, images / fast


def _launch_seconds(record: StepRecord, case: int) -> float:
    return len(record.counters.kernels) * SECONDS_PER_CALL[case]


def _kernel_seconds(record: StepRecord, gpu: GPU, case: int) -> float:
    return sum(_seconds(kernel, gpu, case) for kernel in record.counters.kernels)


def _seconds(kernel: Kernel, gpu: GPU, case: int) -> float:
    """Return the time of a kernel that either computes or moves bytes at the assumed share of the peak."""
    compute = kernel.flop / (SHARE_OF_PEAK[case] * getattr(gpu, kernel.precision) * 1e12)
    return max(compute, kernel.bytes / (SHARE_OF_BANDWIDTH[case] * gpu.bandwidth * 1e9))


def _collective_seconds(record: StepRecord, case: int) -> float:
    ranks = record.world_size
    if ranks == 1:
        return 0.0
    bandwidth = (NODE_BANDWIDTH if ranks <= GPUS_PER_NODE else NETWORK_BANDWIDTH)[case]
    transfers = [(x.kind, x.bytes) for x in record.counters.collectives]
    buckets = -(-record.trainable_bytes // _BUCKET)
    transfers += [('all_reduce', record.trainable_bytes // buckets)] * buckets
    # A ring sends every byte once to gather it, and twice to reduce it on all ranks.
    sent = sum((2 if kind == 'all_reduce' else 1) * size * (ranks - 1) / ranks for kind, size in transfers)
    return sent / bandwidth + len(transfers) * SECONDS_PER_COLLECTIVE[case]
