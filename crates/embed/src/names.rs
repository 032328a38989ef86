//! File names in model folders.

/// The configuration.
pub const CONFIG: &str = "config.json";
/// The weights, in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// The index of weights that are split over several files.
pub const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// The PyTorch weights of older folders on the model hub.
pub const PYTORCH_WEIGHTS: &str = "pytorch_model.bin";
/// The tokenizer of a VL-JEPA's target texts.
pub const TARGET_TOKENIZER: &str = "target_tokenizer.json";
/// The tokenizer of a VL-JEPA's queries; a model trained without queries has none.
pub const QUERY_TOKENIZER: &str = "query_tokenizer.json";
/// The tokenizer of a text model of the model hub.
pub const TOKENIZER: &str = "tokenizer.json";
/// The list of modules in a sentence-transformers folder.
pub const MODULES: &str = "modules.json";
/// The model card.
pub const CARD: &str = "README.md";
/// Configurations of the image processor of a V-JEPA 2, in order of preference; the one for videos is V-JEPA 2's own.
pub const PROCESSORS: [&str; 2] = ["video_preprocessor_config.json", "preprocessor_config.json"];
