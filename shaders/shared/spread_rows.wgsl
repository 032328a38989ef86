// Products of a row of every lane of a subgroup of 8 with what each lane holds: the lanes' rows go round by broadcast.
// Every index is a constant, since software drivers keep other arrays in memory and gather their elements.

// One vector for the row of each lane.
alias PerLane = array<vec4<f32>, 8>;

// c + sum_i a[i] b[i]
fn madd(a: vec4<f32>, b: mat4x4<f32>, c: vec4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(a.w), b[3], fma(vec4<f32>(a.z), b[2], fma(vec4<f32>(a.y), b[1], fma(vec4<f32>(a.x), b[0], c))));
}

// sums[l] += sum_i (a of lane l)[i] b[i]
fn add_rows(sums: ptr<function, PerLane>, a: vec4<f32>, b: mat4x4<f32>) {
    (*sums)[0] = madd(subgroupBroadcast(a, 0u), b, (*sums)[0]);
    (*sums)[1] = madd(subgroupBroadcast(a, 1u), b, (*sums)[1]);
    (*sums)[2] = madd(subgroupBroadcast(a, 2u), b, (*sums)[2]);
    (*sums)[3] = madd(subgroupBroadcast(a, 3u), b, (*sums)[3]);
    (*sums)[4] = madd(subgroupBroadcast(a, 4u), b, (*sums)[4]);
    (*sums)[5] = madd(subgroupBroadcast(a, 5u), b, (*sums)[5]);
    (*sums)[6] = madd(subgroupBroadcast(a, 6u), b, (*sums)[6]);
    (*sums)[7] = madd(subgroupBroadcast(a, 7u), b, (*sums)[7]);
}
