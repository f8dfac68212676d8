    // Of block number `block` of the walk: the TAKEN keys, the last one again where there are fewer.
    let in_a = block < a_blocks;
    let start = select(b.x + (block - a_blocks) * ${TAKEN}u, a.x + block * ${TAKEN}u, in_a);
    let final_key = select(b.y, a.y, in_a) - 1u;
#for j in 0..TAKEN
    let key${j} = min(start + ${j}u, final_key);
#end
