//! Hand-written WGSL kernels for joint-embedding predictive models, with their layouts and no GPU API.
