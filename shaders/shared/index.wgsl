// Linear workgroup and invocation numbers over a grid that the host folded into (x, y, z)
// because one dimension holds at most 65,535 workgroups.

fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + groups.x * (group.y + groups.y * group.z);
}

fn linear_invocation(group: vec3<u32>, groups: vec3<u32>, local_index: u32, group_size: u32) -> u32 {
    return linear_group(group, groups) * group_size + local_index;
}
