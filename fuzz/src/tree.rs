//! Damage to JSON that leaves it JSON.

use serde_json::{Map, Number, Value};

use crate::random::Random;

/// Changes a few places of a document.
pub fn damage(text: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(text).ok()?;
    for _ in 0..=random.below(3) {
        let count = nodes(&value);
        change(&mut value, &mut random.below(count), random);
    }
    serde_json::to_vec(&value).ok()
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// Walks to the node that `left` counts down to, and changes it.
fn change(value: &mut Value, left: &mut usize, random: &mut Random) -> bool {
    if *left == 0 {
        *value = changed(value, random);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, left, random)),
        Value::Object(map) => map.values_mut().any(|item| change(item, left, random)),
        _ => false,
    }
}

fn changed(value: &Value, random: &mut Random) -> Value {
    if random.once_in(4) {
        return edge(random);
    }
    match value {
        Value::Array(items) => {
            let mut items = items.clone();
            let at = random.below(items.len());
            match random.below(4) {
                0 if !items.is_empty() => drop(items.remove(at)),
                1 if !items.is_empty() => items.push(items[at].clone()),
                2 => items = (0..200).flat_map(|_| items.first().cloned()).collect(),
                _ => items.push(edge(random)),
            }
            Value::Array(items)
        }
        Value::Object(map) => {
            let mut map = map.clone();
            let keys: Vec<String> = map.keys().cloned().collect();
            let Some(key) = random.pick(&keys) else { return edge(random) };
            match random.below(4) {
                0 => drop(map.remove(key)),
                1 => drop(map.insert("other".into(), edge(random))),
                2 => {
                    let other = random.pick(&keys).and_then(|other| map.get(other)).cloned().unwrap_or(Value::Null);
                    map.insert(key.clone(), other);
                }
                _ => drop(map.insert(key.clone(), edge(random))),
            }
            Value::Object(map)
        }
        Value::Number(number) => {
            let old = number.as_i64().unwrap_or(0);
            let near = [old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2), old.wrapping_neg(), old / 2, 0];
            if random.once_in(2) { near[random.below(6)].into() } else { edge(random) }
        }
        Value::String(text) => match random.below(4) {
            0 => Value::String(text.repeat(1 + random.below(50))),
            1 => Value::String(text.chars().rev().collect()),
            2 => Value::String(text.chars().skip(1).collect()),
            _ => edge(random),
        },
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Null => edge(random),
    }
}

fn edge(random: &mut Random) -> Value {
    let powers = [7, 8, 15, 16, 31, 32, 53, 62, 63];
    match random.below(14) {
        0 => Value::Null,
        1 => Value::Bool(random.once_in(2)),
        2 => u64::MAX.into(),
        3 => i64::MIN.into(),
        4 => Number::from_f64(1e300).map_or(Value::Null, Value::Number),
        5 => Number::from_f64(-0.5).map_or(Value::Null, Value::Number),
        6 | 7 => (1_u64 << powers[random.below(powers.len())]).into(),
        8 => ((1_u64 << powers[random.below(powers.len())]) - 1).into(),
        9 => Value::String(String::new()),
        10 => Value::String("\u{301}\u{200b}\u{1f469}\u{200d}\u{1f9b0}\0".repeat(1 + random.below(20))),
        11 => Value::Array(Vec::new()),
        12 => Value::Object(Map::new()),
        _ => (0..random.below(100)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
    }
}
