"""One module a library: each turns a problem into a function without arguments that computes the meta-gradient once.

Whatever a library does once for many meta-gradients, such as compiling, is done before that function is returned.
"""
