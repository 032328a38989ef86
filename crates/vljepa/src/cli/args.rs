//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use vljepa::bench::{MAX_FRAMES, MAX_SIZE, Preset, are_frames};
use vljepa::hub::{RepoId, Revision};
use vljepa::{TextPool, VisionPool};
use vljepa_model::Precision;

/// See, search and learn with VL-JEPA on any GPU.
#[derive(Debug, Parser)]
#[command(name = "vljepa", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Print one JSON document on stdout instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Adapter: auto, cpu (software), an index of `vljepa info`, or part of a name
    #[arg(long, global = true, default_value = "auto", value_name = "NAME")]
    pub device: String,
    /// Seed of what is random: the operands of `bench` (a training run has its seed in its file)
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Adapters, capabilities, limits, the kernels that will run, the models found
    Info(ModelArgs),
    /// Embeddings of pictures and videos as the model predicts them (L2-normalised)
    Embed(EmbedArgs),
    /// Embeddings of texts as pictures are compared with (L2-normalised)
    EmbedText(EmbedTextArgs),
    /// Zero-shot classification of pictures and videos, or the classes of a V-JEPA 2 classifier
    Classify(ClassifyArgs),
    /// Answer a question about pictures and videos by the best of given answers
    Ask(AskArgs),
    /// Persistent indices of picture folders
    Index(IndexArgs),
    /// Pictures of an index that fit a text
    Search(SearchArgs),
    /// Train a model as a TOML file says
    Train(TrainArgs),
    /// Measure a model on a suite
    Eval(EvalArgs),
    /// Name and find drawings of an unseen designer; writes a page with pictures
    Demo(DemoArgs),
    /// Fetch a model from the Hugging Face hub and print its folder
    Pull(PullArgs),
    /// Turn a checkpoint of another project into a folder that this program reads
    Convert(ConvertArgs),
    /// What a checkpoint, a model folder or an index holds
    Inspect(InspectArgs),
    /// Time operators on this adapter
    Bench(BenchArgs),
}

/// Which model.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Model folder: a VL-JEPA, or as they come from the model hub a V-JEPA 2 (embed, classify) or a text encoder (embed-text);
    /// absent: the compact model of this program
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Type in which the model's matrices lie on the adapter; f16 takes half the memory, i8 a quarter at a cost in accuracy
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub precision: PrecisionArg,
}

/// `--precision`.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    F32,
    F16,
    I8,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::F16 => Precision::F16,
            PrecisionArg::I8 => Precision::I8,
        }
    }
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// Picture or video files, or folders to search for them
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// What is asked about the pictures
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// V-JEPA 2: how its tokens become a row; absent: mean
    #[arg(long, value_name = "HOW")]
    pub pool: Option<PoolArg>,
    /// Write the rows to a .npy or .safetensors file instead of printing them; a run that was stopped goes on where it was
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `embed --pool`.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PoolArg {
    /// All tokens: rows of [tokens, width], as the encoder gives them, not normalised
    None,
    /// Their mean
    Mean,
    /// The last token
    Last,
    /// The attentive pooler of a classifier checkpoint
    Probe,
}

impl From<PoolArg> for VisionPool {
    fn from(arg: PoolArg) -> Self {
        match arg {
            PoolArg::None => VisionPool::None,
            PoolArg::Mean => VisionPool::Mean,
            PoolArg::Last => VisionPool::Last,
            PoolArg::Probe => VisionPool::Probe,
        }
    }
}

/// `embed-text --pool`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TextPoolArg {
    /// Mean over the tokens
    Mean,
    /// The last token
    Last,
}

impl From<TextPoolArg> for TextPool {
    fn from(arg: TextPoolArg) -> Self {
        match arg {
            TextPoolArg::Mean => TextPool::Mean,
            TextPoolArg::Last => TextPool::Last,
        }
    }
}

#[derive(Debug, Args)]
pub struct EmbedTextArgs {
    /// Texts
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Text encoder: how its token vectors become a row; absent: as its folder says, or as its kind was trained
    #[arg(long, value_name = "HOW")]
    pub pool: Option<TextPoolArg>,
    /// Write the rows to a .npy or .safetensors file instead of printing them
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what"))]
pub struct ClassifyArgs {
    /// Picture or video files, or folders to search for them
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// Labels, separated by commas; a V-JEPA 2 classifier has its own and takes none
    #[arg(long, value_name = "A,B,C", group = "what", required_unless_present_any = ["labels_file", "model"])]
    pub labels: Option<String>,
    /// File with one label a line
    #[arg(long, value_name = "FILE", group = "what")]
    pub labels_file: Option<PathBuf>,
    /// Text that the label is put into, in the place of {}
    #[arg(long, value_name = "TEXT", default_value = "{}")]
    pub template: String,
    /// Labels to show for each picture
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = at_least_one)]
    pub top: usize,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("choice"))]
pub struct AskArgs {
    /// Picture or video files, or folders to search for them
    #[arg(required = true, value_name = "IN")]
    pub inputs: Vec<PathBuf>,
    /// The question
    #[arg(long, value_name = "TEXT")]
    pub question: String,
    /// Answers to choose among, separated by commas
    #[arg(long, value_name = "A,B,C", group = "choice")]
    pub answers: Option<String>,
    /// File with one answer a line
    #[arg(long, value_name = "FILE", group = "choice")]
    pub answers_file: Option<PathBuf>,
    /// Answers to show for each picture; absent: all
    #[arg(long, value_name = "K", value_parser = at_least_one)]
    pub top: Option<usize>,
    /// Leave out files that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub verb: IndexVerb,
}

#[derive(Debug, Subcommand)]
pub enum IndexVerb {
    /// Embed every picture of a folder and write an index
    Build(IndexBuildArgs),
}

#[derive(Debug, Args)]
pub struct IndexBuildArgs {
    /// Folder with pictures and videos, searched recursively
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The index file to write; a run that was stopped goes on when it is given again
    #[arg(long, value_name = "IDX")]
    pub out: PathBuf,
    /// Leave out pictures that cannot be read instead of stopping at the first
    #[arg(long)]
    pub skip_broken: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Index of `vljepa index build`
    #[arg(value_name = "IDX")]
    pub index: PathBuf,
    /// What to look for; several texts are several searches
    #[arg(required = true, value_name = "TEXT")]
    pub texts: Vec<String>,
    /// Pictures to show for each text
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = at_least_one)]
    pub top: usize,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The run: model, data, objective, optimiser, schedule; paths in it are relative to its folder
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
    /// Go on from the newest good checkpoint; where there is none, start from step 0 and say so on stderr
    #[arg(long)]
    pub resume: bool,
    /// Folder of the run, in place of the file's `output`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// What is measured
    #[arg(value_name = "SUITE")]
    pub suite: Suite,
    /// Folder of the suite's data; absent: VLJEPA_EMOJI_VENDORS, else the set in the repository
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Suite {
    /// Drawings by unseen designers and of unseen things
    EmojiVendors,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The page to write: one HTML file that needs no other
    #[arg(long, value_name = "FILE", default_value = "vljepa-demo.html")]
    pub out: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
}

#[derive(Debug, Args)]
#[command(after_help = PULL_HELP)]
pub struct PullArgs {
    /// Repository, as in facebook/vjepa2-vitl-fpc64-256
    #[arg(value_name = "ORG/NAME", value_parser = RepoId::parse)]
    pub repo: RepoId,
    /// Branch, tag or commit
    #[arg(long, value_name = "REV", default_value = "main", value_parser = Revision::parse)]
    pub revision: Revision,
    /// Fetch the files that fit in place of those that this program reads; repeatable, * stands for any text
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out the files that fit; repeatable
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Fetch again what the cache has
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// What the checkpoint is
    #[arg(long, value_name = "KIND")]
    pub from: FromKind,
    /// The checkpoint: a file or a folder
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The folder to write; it must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// All but open-vljepa: config.json of the checkpoint, where it is not beside it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// vjepa2-pt: which encoder, `encoder` or its moving average, with which the authors evaluate
    /// [default: target_encoder]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// vjepa2-pt: side of the square input in pixels, which the file does not tell (256, or 384 for that model)
    #[arg(long, value_name = "N")]
    pub crop_size: Option<usize>,
    /// open-vljepa: folder of the V-JEPA 2 that it was trained from
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub vjepa2: Option<PathBuf>,
    /// open-vljepa: folder with config.json and tokenizer.json of its Llama
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub llama: Option<PathBuf>,
    /// open-vljepa: folder with config.json and tokenizer.json of its text encoder, EmbeddingGemma
    #[arg(long, value_name = "DIR", required_if_eq("from", "open-vljepa"))]
    pub gemma: Option<PathBuf>,
    /// Do not hold a PyTorch file against its checksums (some are written without)
    #[arg(long)]
    pub skip_checksums: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FromKind {
    /// V-JEPA 2 of the model hub, base model or classifier
    Vjepa2,
    /// V-JEPA 2 as its authors publish it, a .pt file
    Vjepa2Pt,
    /// A text model of the model hub: BERT, Llama, Gemma 3, Qwen3
    HfText,
    /// A checkpoint of open-vljepa, a .pt file
    #[value(name = "open-vljepa")]
    OpenVlJepa,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Safetensors file, index of shards, PyTorch checkpoint, model folder, or index of pictures
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
pub enum BenchVerb {
    /// Square f32 matrix products
    Matmul {
        /// Sizes, separated by commas
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "512,1024", value_parser = bench_size)]
        sizes: Vec<usize>,
    },
    /// A published model at full size with random weights: loading, seconds per clip, memory
    Model {
        /// Which
        #[arg(long, value_name = "NAME", default_value = "vl-jepa-base")]
        preset: PresetArg,
        /// Frames of the clips, separated by commas
        #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,8,16", value_parser = bench_frames)]
        frames: Vec<usize>,
        /// Type in which matrices lie on the adapter
        #[arg(long, value_name = "TYPE", default_value = "f16")]
        precision: PrecisionArg,
    },
}

/// `bench model --preset`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PresetArg {
    /// ViT-L, half of Llama-3.2-1B, EmbeddingGemma-300M
    VlJepaBase,
    /// The V-JEPA 2 encoder ViT-L
    Vjepa2Vitl,
    /// ViT-H
    Vjepa2Vith,
    /// ViT-g
    Vjepa2Vitg,
}

impl From<PresetArg> for Preset {
    fn from(arg: PresetArg) -> Self {
        match arg {
            PresetArg::VlJepaBase => Preset::VlJepaBase,
            PresetArg::Vjepa2Vitl => Preset::VitLarge,
            PresetArg::Vjepa2Vith => Preset::VitHuge,
            PresetArg::Vjepa2Vitg => Preset::VitGiant,
        }
    }
}

/// What holds for every pull.
const PULL_HELP: &str = "\
Without --include: configurations, tokenizers, the model card and safetensors; the one .pt, .pth or .bin where there are none.
Files go into the cache that Python's huggingface_hub uses too; what it has is not fetched again, what was cut off goes on.

Environment:
  HF_TOKEN               Token for private repositories and for those whose licence must be accepted
  HF_HOME, HF_HUB_CACHE  Where the cache is: HF_HOME/hub, or HF_HUB_CACHE [default: ~/.cache/huggingface/hub]
  HF_ENDPOINT            Another hub
  HF_HUB_OFFLINE=1       Use the cache only";

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".into()),
        Ok(n) => Ok(n),
        Err(_) => Err("a whole number of at least 1 is expected".into()),
    }
}

fn bench_size(text: &str) -> Result<usize, String> {
    let expected = || format!("a whole number from 1 to {MAX_SIZE} is expected");
    text.parse().ok().filter(|n| (1..=MAX_SIZE).contains(n)).ok_or_else(expected)
}

fn bench_frames(text: &str) -> Result<usize, String> {
    let expected = || format!("1, or an even number up to {MAX_FRAMES}, is expected");
    text.parse().ok().filter(|&n| are_frames(n)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
