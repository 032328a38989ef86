//! Training and evaluation of VL-JEPA: objectives, schedules, optimisers, checkpoints.
