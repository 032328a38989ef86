// Reductions over the LANES neighbouring invocations of a workgroup of 64 that share a row.
// LANES by override, a power of two up to 64. With 1 an invocation owns its row and no barrier is left; otherwise a
// fixed tree over workgroup memory, so that the same inputs give the same bits. Call in uniform control flow.
override LANES: u32 = 1u;

const REDUCE_GROUP: u32 = 64u;
// The smallest finite number stands for minus infinity, which WGSL has no literal for.
const REDUCE_LOWEST: f32 = -3.4e38;

var<workgroup> reduce_scratch: array<f32, REDUCE_GROUP>;

fn reduce_sum(value: f32, local: u32) -> f32 {
    if LANES == 1u {
        return value;
    }
    reduce_scratch[local] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if local % LANES < step {
            reduce_scratch[local] += reduce_scratch[local + step];
        }
        workgroupBarrier();
    }
    let total = reduce_scratch[local - local % LANES];
    // The next reduction overwrites what slower invocations may still read.
    workgroupBarrier();
    return total;
}

fn reduce_max(value: f32, local: u32) -> f32 {
    if LANES == 1u {
        return value;
    }
    reduce_scratch[local] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if local % LANES < step {
            reduce_scratch[local] = max(reduce_scratch[local], reduce_scratch[local + step]);
        }
        workgroupBarrier();
    }
    let total = reduce_scratch[local - local % LANES];
    workgroupBarrier();
    return total;
}
