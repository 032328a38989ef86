//! `[objective]`: the loss, and what predictions are told apart from.

use serde::{Deserialize, Serialize};

/// Where the negatives come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ObjectiveKind {
    /// Bidirectional InfoNCE over the batch (the paper's).
    Batch,
    /// Cross-entropy of each prediction over the texts of all classes. Needs a source with classes and a frozen Y-Encoder.
    #[default]
    Bank,
}

/// How far a prediction is from its target. The paper trains with InfoNCE and compares the others in its table 7 (c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LossKind {
    /// Cross-entropy among candidates.
    #[default]
    Infonce,
    /// 1 − cosine.
    Cosine,
    /// Absolute differences of the prediction and the target of unit length, summed over components.
    L1,
    /// Squared differences of them, summed over components.
    L2,
    /// VICReg, of embeddings that are not normalised (`vicreg`). Targets may be trained.
    Vicreg,
}

/// `[objective.sigreg]`: embeddings are drawn towards a standard normal distribution, each sample as much as any other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SigregConfig {
    /// What the statistic of predictions, and that of targets where they are trained, is added to the loss with.
    pub weight: f32,
    /// Directions that are drawn at each step.
    pub directions: usize,
}

impl Default for SigregConfig {
    fn default() -> Self {
        Self { weight: 0.02, directions: 1024 }
    }
}

/// `[objective.vicreg]`: the weights of VICReg's parts. Weights of samples are not read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VicregConfig {
    /// Of the mean squared difference of prediction and target.
    pub invariance: f32,
    /// Of how far deviations are below 1.
    pub variance: f32,
    /// Of what components tell of each other.
    pub covariance: f32,
}

impl Default for VicregConfig {
    fn default() -> Self {
        Self { invariance: 25.0, variance: 25.0, covariance: 1.0 }
    }
}

/// Which text stands for a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TextKind {
    /// The label.
    Label,
    /// The first other name; the label where there is none.
    Name,
    /// The first eight tags, with commas; the label where there are none.
    Tags,
    /// The label, then the first eight tags.
    LabelAndTags,
}

/// `[objective]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// Where the negatives come from. Loss at the start: ln of their number + 1.
    pub kind: ObjectiveKind,
    /// How far a prediction is from its target. All but `infonce` know no negatives and need `kind = "batch"`. `cosine`, `l1` and `l2`
    /// need targets that are not trained, which would all become one, or `sigreg`.
    #[serde(skip_serializing_if = "is_default")]
    pub loss: LossKind,
    /// Kinds of texts to draw from, evenly, for every class and step.
    pub texts: Vec<TextKind>,
    /// Share of the target that goes to all classes by softmax(`soft_scale` · cosine of labels); bank only.
    pub soft_labels: f32,
    /// See `soft_labels`.
    pub soft_scale: f32,
    /// Share of the loss in which predictions are told apart from the wrong texts of all pairs too; the rest of it knows right
    /// texts only. Batch only.
    #[serde(skip_serializing_if = "is_default")]
    pub wrong: f32,
    /// Weight of a further term: the cross-entropy of each right answer among the answers of its own question alone. Batch only.
    #[serde(skip_serializing_if = "is_default")]
    pub own: f32,
    /// SIGReg, with any loss. Batch only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigreg: Option<SigregConfig>,
    /// Read by `loss = "vicreg"`.
    #[serde(skip_serializing_if = "is_default")]
    pub vicreg: VicregConfig,
    /// With `accumulate` above 1, whether the negatives are those of the whole batch instead of those of a part: parts are then passed
    /// twice, for their embeddings and for the gradients. Batch only.
    #[serde(skip_serializing_if = "is_default")]
    pub cached: bool,
    /// Whether the Y-Encoder is trained (at the rate of its group) or frozen, its pooled features computed once.
    pub train_y_encoder: bool,
    /// The linear head of the Y-Encoder.
    pub y_head: YHeadConfig,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Bank,
            loss: LossKind::Infonce,
            texts: vec![TextKind::Label],
            soft_labels: 0.0,
            soft_scale: 12.0,
            wrong: 0.0,
            own: 0.0,
            sigreg: None,
            vicreg: VicregConfig::default(),
            cached: false,
            train_y_encoder: false,
            y_head: YHeadConfig::default(),
        }
    }
}

/// `[objective.y_head]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct YHeadConfig {
    /// Start as the map that centres and whitens the features of the training labels, or of the source's texts where it has no
    /// classes (their principal components, each over its standard deviation); otherwise as the model has it.
    pub whiten: bool,
    /// Power of the standard deviation that components are divided by: 1 whitens, 0 only centres and rotates.
    pub strength: f64,
    /// Share of the head's space that is what labels tell of their classes' tags: before whitening, the labels' centred
    /// features x become (1 − `tags`) x + `tags` x R, both parts of one mean square, R the ridge regression of the features
    /// of "label, tags" on those of labels.
    #[serde(skip_serializing_if = "is_default")]
    pub tags: f64,
    /// Ridge of that regression, in mean variances of a component.
    #[serde(skip_serializing_if = "is_default_ridge")]
    pub ridge: f64,
    /// Whether it is trained.
    pub train: bool,
}

const DEFAULT_RIDGE: f64 = 0.1;

// Checkpoints of runs without these keys stay what they are.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_ridge(value: &f64) -> bool {
    *value == DEFAULT_RIDGE
}

impl Default for YHeadConfig {
    fn default() -> Self {
        Self { whiten: true, strength: 1.0, tags: 0.0, ridge: DEFAULT_RIDGE, train: false }
    }
}
