//! V-JEPA 2, Llama, Gemma 3, Qwen 3 and BERT, and VL-JEPA assembled from them, on vljepa-tensor.

mod architectures;
mod bert;
mod checkpoints;
mod decoder;
mod decoder_encoder;
mod error;
mod formats;
mod gemma3;
mod json;
mod layers;
mod lewm;
mod llama;
mod param;
mod prune;
mod qwen3;
mod rope;
mod spec;
mod text;
mod text_encoder;
mod tokenizer;
mod unclear;
mod vjepa2;
mod vljepa;
mod y_decoder;
mod y_encoder;

pub mod config {
    //! Configurations: the `config.json` of each part as the model hub has it, and ours of a whole VL-JEPA.
    //!
    //! Every configuration lists the tensors that its weights consist of (`tensors`), which is what loading checks a
    //! file against and what parameter counts are summed from.

    pub use crate::architectures::{TextEncoderConfig, YEncoderKind};
    pub use crate::bert::BertConfig;
    pub use crate::gemma3::{AttentionKind, EMBEDDING_GEMMA_PROMPTS, Gemma3Config};
    pub use crate::lewm::{ActionStatistics, FramePredictorConfig, LewmConfig};
    pub use crate::llama::LlamaConfig;
    pub use crate::qwen3::Qwen3Config;
    pub use crate::rope::{Llama3Scaling, Rope};
    pub use crate::spec::{TensorSpec, parameter_count, renamed};
    pub use crate::text_encoder::Pooling;
    pub use crate::vjepa2::{ConvStemConfig, PositionGrid, StemNorm, Vjepa2Config};
    pub use crate::vljepa::{
        CropStart, LinearConfig, MemoryConfig, Positions, PredictorConfig, Preprocessing, Recall, TemperatureConfig,
        VlJepaConfig, Words,
    };
    pub use crate::y_decoder::YDecoderConfig;
    pub use crate::y_encoder::{DenseConfig, YEncoderConfig};
}

pub mod weights {
    //! Weights in and out, on byte slices: opening and mapping files is the caller's business.
    //!
    //! [`SafeTensors`] reads one file, [`Shards`] several behind a `model.safetensors.index.json` ([`ShardFiles`] keeps
    //! them open), [`PtFile`] a PyTorch checkpoint; [`Writer`] makes a safetensors file of values,
    //! [`write_safetensors`] one of another source's tensors. [`official_vjepa2`], [`bare_vjepa2`], [`bare_text`] and
    //! [`open_vljepa`] give checkpoints of others our names. [`check`] holds a source against the tensors of a
    //! configuration, [`read_f32`] takes one out of it as f32.

    pub use crate::architectures::TextKind;
    pub use crate::checkpoints::{
        OpenVlJepaParts, Vjepa2Parts, bare_text, bare_vjepa2, is_v2_1, official_config, official_vjepa2, open_vljepa,
        open_vljepa_config,
    };
    pub use crate::formats::{
        Dtype, Prefixed, PtFile, PtValue, Remapped, SCALE_SUFFIX, SafeTensors, ShardFiles, ShardIndex, Shards,
        TensorView, WeightSource, Writer, check, dequantise_rows, quantise_rows, read_all, read_f32, read_f32_rows,
        read_i32, safetensors_start, write_safetensors,
    };
    pub use crate::lewm::published_lewm;
}

pub use architectures::checkpoint_prefix;
pub use bert::Bert;
pub use checkpoints::{SentenceFolder, SentenceWeights};
pub use decoder_encoder::DecoderEncoder;
pub use error::{ModelError, Result, WeightMismatch, WrongShape};
pub use formats::Storage;
pub use json::json_fault;
pub use layers::{EmbeddingTable, LayerNorm, Linear, RmsNorm};
pub use lewm::{BatchStatistics, Drops, Lewm, LewmBatch, LewmInit, LewmPass};
pub use llama::LlamaLayers;
pub use param::{Forward, Param, ParamSource, Precision, RandomInit};
pub use prune::prune_wordpiece;
pub use text::Tokens;
pub use text_encoder::TextEncoder;
pub use tokenizer::{CutTexts, Encoded, SpecialTokens, TextTokenizer};
pub use unclear::{Unclear, UnknownWords};
pub use vjepa2::{AttentiveProbe, LinearProbe, PatchIds, Prediction, Vjepa2Encoder, Vjepa2Predictor};
pub use vljepa::{Part, VlJepa};
pub use y_decoder::{Search, Sentence, YDecoder};
pub use y_encoder::YEncoder;
