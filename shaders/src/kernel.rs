//! What the host must know of a kernel: bindings, parameters, permutations.

/// Element type of the storage buffers that a kernel declares as `array<store4>`; arithmetic is always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Elem {
    /// IEEE single precision.
    F32,
    /// IEEE half precision read through the `shader-f16` feature.
    F16,
    /// IEEE half precision, two to a word, read with `unpack2x16float`; needs no feature. Same memory as [`Elem::F16`].
    F16Packed,
    /// Signed bytes, four to a word, with a scale for each row behind them; needs no feature.
    I8,
}

impl Elem {
    /// The name used in permutation names and preludes.
    pub const fn name(self) -> &'static str {
        match self {
            Elem::F32 => "f32",
            Elem::F16 => "f16",
            Elem::F16Packed => "f16_packed",
            Elem::I8 => "i8",
        }
    }
}

/// How a kernel uses one storage binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// Pointwise activation fused into other kernels; the discriminants are the codes of `shared/activation.wgsl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Activation {
    /// Identity.
    #[default]
    None = 0,
    /// GELU with the exact error function.
    Gelu = 1,
    /// GELU with the tanh approximation.
    GeluTanh = 2,
    /// SiLU, also called swish.
    Silu = 3,
}

/// One field of a parameter struct, as reflection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamField {
    /// Field name in both languages.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// `"u32"`, `"i32"` or `"f32"`.
    pub ty: &'static str,
}

/// Name, size and fields of a kernel's uniform parameter struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamsLayout {
    /// Struct name in both languages.
    pub name: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Fields in declaration order.
    pub fields: &'static [ParamField],
}

/// A `repr(C)` struct of 4-byte scalars that is bound as a kernel's last binding.
pub trait Params: bytemuck::Pod {
    /// Layout compared with the WGSL declaration by this package's tests.
    const LAYOUT: ParamsLayout;
}

/// Declares parameter structs of `u32`, `i32` and `f32` fields with their [`ParamsLayout`].
#[macro_export]
macro_rules! params {
    ($($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ident),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),+ }

        impl $crate::Params for $name {
            const LAYOUT: $crate::ParamsLayout = $crate::ParamsLayout {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$($crate::ParamField {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    ty: stringify!($ty),
                }),+],
            };
        }
    )+};
}
pub(crate) use crate::params;

/// A named constant put in front of the kernel text (`const NAME: u32 = VALUE;`), for what sizes function-local arrays.
pub type Const = (&'static str, u32);

/// One kernel: a WGSL file with its bindings, parameters and permutations.
///
/// Convention: group 0 holds the storage buffers in the order of [`Kernel::bindings`], then the uniform parameter
/// struct with a dynamic offset; the entry point is `main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Name used in labels, errors and dumps of the expanded text.
    pub name: &'static str,
    /// Path inside this package.
    pub file: &'static str,
    /// Storage bindings `0..n`; the parameters are binding `n`.
    pub bindings: &'static [Access],
    /// The parameter struct.
    pub params: ParamsLayout,
    /// Element types the kernel is built for; empty when it does not use `store4`.
    pub elems: &'static [Elem],
    /// Sets of constants that the tests build; the host may ask for other values of the same names.
    pub consts: &'static [&'static [Const]],
    /// Whether the kernel uses subgroup operations.
    pub subgroup: bool,
    /// Invocations of a workgroup, the product of its dimensions.
    pub workgroup_size: u32,
}

impl Kernel {
    /// A kernel over f32 and u32 buffers with workgroups of 64, without constants or subgroup operations.
    pub(crate) const fn plain(
        name: &'static str,
        file: &'static str,
        bindings: &'static [Access],
        params: ParamsLayout,
    ) -> Self {
        Kernel { name, file, bindings, params, elems: &[], consts: &[], subgroup: false, workgroup_size: 64 }
    }

    /// Every permutation that the tests build: `(name, elem, consts)`.
    pub fn permutations(&self) -> Vec<(String, Option<Elem>, &'static [Const])> {
        let elems: Vec<Option<Elem>> =
            if self.elems.is_empty() { vec![None] } else { self.elems.iter().copied().map(Some).collect() };
        let sets: &[&'static [Const]] = if self.consts.is_empty() { &[&[]] } else { self.consts };
        let mut all = Vec::new();
        for &elem in &elems {
            for &set in sets {
                let mut name = self.name.to_owned();
                if let Some(elem) = elem {
                    name += &format!("-{}", elem.name());
                }
                for (key, value) in set {
                    name += &format!("-{}{value}", key.to_lowercase());
                }
                all.push((name, elem, set));
            }
        }
        all
    }
}
