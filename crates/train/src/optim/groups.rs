//! Which optimiser, learning rate and weight decay a parameter gets.

use vljepa_model::Part;

use crate::config::{OptimizerConfig, OptimizerKind};

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// AdamW.
    Adamw,
    /// Muon.
    Muon,
}

/// What happens to one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Update rule.
    pub method: Method,
    /// Peak learning rate, the group's factor included.
    pub lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// The rate of the Y-Encoder against the others' (paper, §3.1).
pub const Y_ENCODER_LR_SCALE: f64 = 0.05;

/// Whether `pattern` describes the whole of `name`; `*` stands for any characters, none included.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(i, _)| i).chain([rest.len()]).any(|i| matches(tail, &rest[i..]))
        }),
    }
}

/// What the plan of a parameter depends on.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The part of the model that it belongs to.
    pub part: Part,
    /// Its name, for the patterns of the configuration.
    pub name: &'a str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Whether it is a table that is looked up in by id. It maps no activations, so that Muon does not take it; that of a
    /// decoder as Y-Encoder may have 262,144 rows.
    pub table: bool,
}

/// The plan of a parameter; `None` where a group freezes it.
pub fn plan(config: &OptimizerConfig, of: Planned<'_>) -> Option<Plan> {
    let Planned { part, name, shape, table } = of;
    let matrix = shape.len() > 1;
    let excluded = || table || config.muon.exclude.iter().any(|p| matches(p, name));
    let muon = config.kind == OptimizerKind::Muon && matrix && !excluded();
    let (method, lr, decay) = match muon {
        true => (Method::Muon, config.muon.lr, config.muon.weight_decay),
        false => (Method::Adamw, config.lr, config.weight_decay),
    };
    let y_encoder = if part == Part::YEncoder { Y_ENCODER_LR_SCALE } else { 1.0 };
    let mut plan = Plan { method, lr: lr * y_encoder, weight_decay: if matrix { decay } else { 0.0 } };
    for group in config.groups.iter().filter(|g| matches(&g.pattern, name)) {
        if group.frozen {
            return None;
        }
        plan.lr *= group.lr_scale;
        plan.weight_decay = group.weight_decay.unwrap_or(plan.weight_decay);
    }
    Some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GroupConfig;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, want) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.", true),
            ("a.*", "ab", false),
            ("*.bias", "x.y.bias", true),
            ("*.bias", "x.bias.y", false),
            ("x*.layer.*.norm*", "x_encoder.layer.3.norm1.weight", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn matrices_go_to_muon_and_the_rest_to_adamw() {
        let mut config = OptimizerConfig { kind: OptimizerKind::Muon, ..OptimizerConfig::default() };
        let muon = Plan { method: Method::Muon, lr: 0.02, weight_decay: 0.02 };
        let adamw = Plan { method: Method::Adamw, lr: 1e-3, weight_decay: 0.05 };
        let of = |c: &OptimizerConfig, name: &str, shape: &[usize]| {
            let part = if name.starts_with("y_encoder.") { Part::YEncoder } else { Part::XEncoder };
            plan(c, Planned { part, name, shape, table: name.contains("embed_tokens") })
        };
        assert_eq!(of(&config, "x_encoder.layer.0.mlp.fc1.weight", &[768, 192]), Some(muon));
        assert_eq!(of(&config, "x_encoder.embeddings.stem.1.conv.weight", &[48, 24, 3, 3]), Some(muon));
        assert_eq!(of(&config, "x_encoder.embeddings.stem.0.conv.weight", &[24, 3, 3, 3]), Some(adamw));
        assert_eq!(of(&config, "predictor_head.weight", &[256, 192]), Some(adamw));
        let bias = Plan { weight_decay: 0.0, ..adamw };
        assert_eq!(of(&config, "x_encoder.layer.0.mlp.fc1.bias", &[768]), Some(bias));
        let table = of(&config, "y_encoder.embed_tokens.weight", &[262_144, 768]);
        assert_eq!(table.map(|p| p.method), Some(Method::Adamw));
        assert_eq!(of(&config, "y_encoder.embeddings.LayerNorm.bias", &[384]), Some(Plan { lr: 1e-3 * 0.05, ..bias }));

        let group = |pattern: &str, lr_scale, weight_decay, frozen| GroupConfig {
            pattern: pattern.into(),
            lr_scale,
            weight_decay,
            frozen,
        };
        config.groups = vec![
            group("x_encoder.*", 0.5, None, false),
            group("*.fc1.*", 1.0, Some(0.0), false),
            group("logit_scale", 1.0, None, true),
        ];
        let both = Plan { lr: 0.01, weight_decay: 0.0, ..muon };
        assert_eq!(of(&config, "x_encoder.layer.0.mlp.fc1.weight", &[768, 192]), Some(both));
        assert_eq!(of(&config, "logit_scale", &[1]), None);
    }
}
