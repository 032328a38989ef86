//! The crate's one error type.

/// Everything that can go wrong in the tensor runtime.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes of an operator do not fit together.
    #[error("{op}: {what}")]
    Shape {
        /// Operator name.
        op: &'static str,
        /// The shapes and the rule they break.
        what: String,
    },
    /// A tensor has another element type than the operator takes.
    #[error("{op}: {what}")]
    Dtype {
        /// Operator name.
        op: &'static str,
        /// The element types involved.
        what: String,
    },
    /// A limit of the adapter or of the runtime is exceeded.
    #[error("{what}: {requested} requested, the adapter allows {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// Value asked for.
        requested: u64,
        /// Largest value allowed.
        limit: u64,
    },
    /// The device has no memory left.
    #[error("out of device memory for {what}: {requested} bytes requested with {in_use} bytes in use")]
    OutOfMemory {
        /// What the memory was for, with the operators concerned.
        what: String,
        /// Bytes of the failed allocation; for submissions, those of the parameters of their kernels.
        requested: u64,
        /// Bytes that live tensors hold.
        in_use: u64,
    },
    /// No adapter fits the request.
    #[error("{}", no_adapter(wanted, found))]
    NoAdapter {
        /// What was looked for.
        wanted: String,
        /// Names of the adapters that there are, best first.
        found: Vec<String>,
    },
    /// The device was lost; every tensor on it is gone and a new [`crate::Device`] must be made.
    #[error("device lost: {0}")]
    DeviceLost(String),
    /// The driver or wgpu's validation refused something.
    #[error("GPU error in {label}: {message}")]
    Gpu {
        /// The object concerned, or the submission with its first and last operator.
        label: String,
        /// The driver's words.
        message: String,
    },
    /// A shader permutation does not exist.
    #[error(transparent)]
    Shader(#[from] vljepa_shaders::ExpandError),
    /// The WGSL text of a kernel does not compile.
    #[error("kernel {kernel} does not compile: {message}")]
    Wgsl {
        /// Name of the kernel.
        kernel: &'static str,
        /// The compiler's words, with the line.
        message: String,
    },
    /// A kernel's text, its description ([`vljepa_shaders::Kernel`]) and what it was launched with do not fit together.
    #[error("kernel {kernel}: {what}")]
    Interface {
        /// Name of the kernel.
        kernel: &'static str,
        /// What does not fit.
        what: String,
    },
    /// Tensors of two devices met in one operator.
    #[error("{op}: tensors live on different devices")]
    DeviceMismatch {
        /// Operator name.
        op: &'static str,
    },
    /// A request that makes no sense, such as an unknown capability in `VLJEPA_DISABLE`.
    #[error("{0}")]
    Invalid(String),
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn shape(op: &'static str, what: impl Into<String>) -> Self {
        Error::Shape { op, what: what.into() }
    }
}

fn no_adapter(wanted: &str, found: &[String]) -> String {
    if found.is_empty() {
        return "no GPU adapter found: no Vulkan, Metal, DX12 or WebGPU driver answered; on a machine without a GPU install a \
                software Vulkan driver (Debian, Ubuntu: mesa-vulkan-drivers)"
            .into();
    }
    let list: Vec<String> = found.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
    format!("{wanted} is not there; there is: {}", list.join(", "))
}
