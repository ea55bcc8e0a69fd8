# SMoG's linear evaluation on STL-10, which the paper does not use. The recipe of smog-linear_*_in1k.py is our choice.
_base_ = './lewel-m-linear_1xb4096-lars-coslr-90e_stl10.py'
