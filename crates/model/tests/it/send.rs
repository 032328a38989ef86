//! What an application may move to another thread, or share with it.

use vljepa_model::{
    AttentiveProbe, Bert, DecoderEncoder, EmbeddingTable, Forward, LlamaLayers, ModelError, Param, TextTokenizer,
    Tokens, Vjepa2Encoder, Vjepa2Predictor, VlJepa, YEncoder,
};

fn shared<T: Send + Sync>() {}

#[test]
fn models_and_passes_move_between_threads() {
    shared::<VlJepa>();
    shared::<YEncoder>();
    shared::<Vjepa2Encoder>();
    shared::<Vjepa2Predictor>();
    shared::<AttentiveProbe>();
    shared::<LlamaLayers>();
    shared::<Bert>();
    shared::<DecoderEncoder>();
    shared::<EmbeddingTable>();
    shared::<TextTokenizer>();
    shared::<Tokens>();
    shared::<Param>();
    shared::<Forward>();
    shared::<ModelError>();
}
