//! The table of the Y-Encoder's architectures, and all that follows from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bert::BertConfig;
#[cfg(doc)]
use crate::error::ModelError;
use crate::error::Result;
use crate::formats::WeightSource;
use crate::gemma3::Gemma3Config;
use crate::json;
use crate::param::Builder;
use crate::qwen3::Qwen3Config;
use crate::spec::{Check, TensorSpec, parse};
use crate::text_encoder::{Architecture, Facts, Pooling, TextEncoder};
use crate::tokenizer::SpecialTokens;

/// Makes [`YEncoderKind`], [`TextEncoderConfig`] and [`TextKind`] of lines `Name(configuration)`. The name in snake
/// case is `kind` in a model folder's `config.json`; everything else is in the configuration's [`Architecture`].
macro_rules! architectures {
    ($($(#[$doc:meta])* $name:ident($config:ty)),* $(,)?) => {
        /// Architectures of the Y-Encoder.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum YEncoderKind {
            $($(#[$doc])* $name,)*
        }

        /// The configuration of a text encoder, by architecture.
        #[derive(Clone, Debug, PartialEq)]
        pub enum TextEncoderConfig {
            $($(#[$doc])* $name($config),)*
        }

        /// Text models of the hub: the architectures of the Y-Encoder, and Llama.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum TextKind {
            /// Llama: the Predictor's layers and the query embedding come from one.
            Llama,
            $($(#[$doc])* $name,)*
        }

        impl YEncoderKind {
            /// Every architecture.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            fn facts(self) -> &'static Facts {
                match self {
                    $(Self::$name => <$config as Architecture>::facts(),)*
                }
            }

            /// A valid configuration of this architecture.
            pub(crate) fn read(self, json: &Value) -> Result<TextEncoderConfig> {
                Ok(match self {
                    $(Self::$name => TextEncoderConfig::$name(<$config>::from_value(json)?),)*
                })
            }

            /// The configuration within a model folder's, which is validated as a whole.
            pub(crate) fn unchecked(self, json: &Value) -> Result<TextEncoderConfig, String> {
                Ok(match self {
                    $(Self::$name => TextEncoderConfig::$name(json::from_value(json)?),)*
                })
            }
        }

        impl TextEncoderConfig {
            /// The architecture.
            pub fn kind(&self) -> YEncoderKind {
                match self {
                    $(Self::$name(_) => YEncoderKind::$name,)*
                }
            }

            fn architecture(&self) -> &dyn Architecture {
                match self {
                    $(Self::$name(config) => config,)*
                }
            }

            /// The `config.json`.
            pub(crate) fn to_value(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$name(config) => serde_json::to_value(config),)*
                }
            }
        }

        impl TextKind {
            /// The architecture as a Y-Encoder; a Llama is none.
            pub fn y_encoder(self) -> Option<YEncoderKind> {
                match self {
                    Self::Llama => None,
                    $(Self::$name => Some(YEncoderKind::$name),)*
                }
            }
        }

        impl From<YEncoderKind> for TextKind {
            fn from(kind: YEncoderKind) -> Self {
                match kind {
                    $(YEncoderKind::$name => Self::$name,)*
                }
            }
        }
    };
}

architectures! {
    /// BERT, e.g. all-MiniLM-L6-v2.
    Bert(BertConfig),
    /// Gemma 3, e.g. EmbeddingGemma-300M.
    Gemma3(Gemma3Config),
    /// Qwen 3, e.g. Qwen3-Embedding-0.6B.
    Qwen3(Qwen3Config),
}

impl YEncoderKind {
    /// The architecture of a `model_type` as `config.json` on the model hub says it.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.model_type() == model_type)
    }

    /// Every `model_type`, in the order of [`ALL`](Self::ALL).
    pub fn model_types() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|kind| kind.model_type())
    }

    /// `model_type` in a `config.json` of the model hub: `bert`, `gemma3_text`, …
    pub fn model_type(self) -> &'static str {
        self.facts().model_type
    }

    /// The name that people know it by: "BERT", "Gemma 3", …
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// How the published encoders pool.
    pub fn default_pooling(self) -> Pooling {
        self.facts().pooling
    }

    /// What stands around a text.
    pub fn special_tokens(self) -> SpecialTokens {
        self.facts().special_tokens
    }

    /// Starts of the names of tensors that checkpoints carry and the encoder does not have.
    pub fn ignored(self) -> &'static [&'static str] {
        self.facts().ignored
    }

    /// What stands before the bare names in checkpoints of larger models.
    pub(crate) fn prefix(self) -> &'static str {
        self.facts().prefix
    }
}

impl TextEncoderConfig {
    /// Parses a checkpoint's `config.json` by its `model_type` and [`validate`](Self::validate)s it.
    ///
    /// # Errors
    /// [`ModelError::Config`], with line and column where the text is no JSON.
    pub fn from_json(json: &str) -> Result<Self> {
        Self::from_value(&parse("text encoder", json)?)
    }

    /// [`from_json`](Self::from_json) of JSON that is parsed already.
    ///
    /// # Errors
    /// [`ModelError::Config`].
    pub fn from_value(json: &Value) -> Result<Self> {
        let found = json["model_type"].as_str();
        match found.and_then(YEncoderKind::of_model_type) {
            Some(kind) => kind.read(json),
            None => {
                let (found, all) = (found.unwrap_or("missing"), YEncoderKind::model_types().collect::<Vec<_>>());
                Check("text encoder").fail(format!("`model_type` is {found}, supported: {}", all.join(", ")))
            }
        }
    }

    /// How the published encoders of this architecture pool.
    pub fn default_pooling(&self) -> Pooling {
        self.kind().default_pooling()
    }

    /// Width.
    pub fn hidden_size(&self) -> usize {
        self.architecture().hidden_size()
    }

    /// Depth.
    pub fn num_hidden_layers(&self) -> usize {
        self.architecture().num_hidden_layers()
    }

    /// Rows of the token embedding.
    pub fn vocab_size(&self) -> usize {
        self.architecture().vocab_size()
    }

    /// Longest text, in tokens.
    pub fn max_position_embeddings(&self) -> usize {
        self.architecture().max_position_embeddings()
    }

    /// Channels of all query heads together.
    pub fn attention_width(&self) -> usize {
        self.architecture().attention_width()
    }

    /// Token that fills short rows, which never changes a result: the file's, else what the architecture's tokenizer
    /// pads with, else 0.
    pub fn pad_token_id(&self) -> u32 {
        self.architecture().pad_token_id()
    }

    /// The tensors under the checkpoint's names.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        self.architecture().tensors()
    }

    /// Starts of the names of tensors that checkpoints carry and the encoder does not have.
    pub fn ignored(&self) -> &'static [&'static str] {
        self.kind().ignored()
    }

    /// Checks the configuration of the architecture.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the key at fault.
    pub fn validate(&self) -> Result<()> {
        self.architecture().validate()
    }

    /// The encoder, from parameters with the checkpoint's names behind `prefix`.
    pub(crate) fn build(&self, b: &mut Builder<'_>, prefix: &str) -> Result<Arc<dyn TextEncoder>> {
        self.architecture().build(b, prefix)
    }
}

/// What the names of a text encoder's tensors start with in a published file: `model.` or `bert.` where a checkpoint
/// holds more than the encoder, nothing in the files of sentence-transformers.
pub fn checkpoint_prefix(weights: &(impl WeightSource + ?Sized)) -> &'static str {
    let facts = || YEncoderKind::ALL.iter().map(|kind| kind.facts());
    let holds = |prefix: &&str| facts().any(|f| weights.tensor(&format!("{prefix}{}", f.token_embedding)).is_some());
    std::iter::once("").chain(facts().map(|f| f.prefix)).find(holds).unwrap_or("")
}
