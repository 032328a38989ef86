//! A tensor runtime on wgpu: devices, memory, recorded commands, operators and reverse mode.
