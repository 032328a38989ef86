//! Criterion benches of vljepa kernels, models and training steps.
