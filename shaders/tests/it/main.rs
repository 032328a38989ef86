//! Every permutation parses, validates and lowers to SPIR-V, MSL and HLSL without a GPU, and its declarations equal
//! their Rust twins.

// Helpers outside of test functions are not covered by clippy.toml's exemption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Stdio};

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use vljepa_shaders::{Access, Elem, Kernel, Target, kernels};

fn capabilities(elem: Option<Elem>, subgroup: bool) -> Capabilities {
    // unpack2x16float is core WebGPU.
    let mut caps = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    caps.set(Capabilities::SHADER_FLOAT16, elem == Some(Elem::F16));
    caps.set(Capabilities::SUBGROUP, subgroup);
    caps
}

fn parse(kernel: &Kernel, name: &str, elem: Option<Elem>, text: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    let mut validator = Validator::new(ValidationFlags::all(), capabilities(elem, kernel.subgroup));
    let info = validator.validate(&module).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    (module, info)
}

fn permutations() -> Vec<(&'static Kernel, String, Option<Elem>, String)> {
    let mut all = Vec::new();
    for kernel in kernels::all() {
        for (name, elem, consts) in kernel.permutations() {
            let text = kernel.source(elem, consts, Target::Native).unwrap_or_else(|e| panic!("{name}: {e}"));
            all.push((kernel, name, elem, text));
        }
    }
    assert!(!all.is_empty());
    all
}

#[test]
fn every_permutation_lowers_to_every_backend() {
    for (kernel, name, elem, text) in permutations() {
        let (module, info) = parse(kernel, &name, elem, &text);
        let (module, info) = naga::back::pipeline_constants::process_overrides(
            &module,
            &info,
            Some((naga::ShaderStage::Compute, "main")),
            &Default::default(),
        )
        .unwrap_or_else(|e| panic!("{name}: overrides need defaults: {e}"));
        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        spv::write_vec(&module, &info, &options, None).unwrap_or_else(|e| panic!("{name}: SPIR-V: {e}"));
        let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
        msl::write_string(&module, &info, &options, &Default::default()).unwrap_or_else(|e| panic!("{name}: MSL: {e}"));
        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
        let mut out = String::new();
        let pipeline = Default::default();
        hlsl::Writer::new(&mut out, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|e| panic!("{name}: HLSL: {e}"));
        assert!(!out.is_empty());
    }
}

#[test]
fn bindings_and_parameters_equal_their_rust_twins() {
    for (kernel, name, elem, text) in permutations() {
        let (module, _) = parse(kernel, &name, elem, &text);
        let mut bound: Vec<(u32, Option<Access>, naga::Handle<naga::Type>)> = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else { continue };
            assert_eq!(binding.group, 0, "{name}: everything is in group 0");
            let access = match variable.space {
                naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                    Some(Access::ReadWrite)
                }
                naga::AddressSpace::Storage { .. } => Some(Access::Read),
                _ => None,
            };
            bound.push((binding.binding, access, variable.ty));
        }
        bound.sort_by_key(|b| b.0);
        let numbers: Vec<u32> = bound.iter().map(|b| b.0).collect();
        assert_eq!(numbers, (0..=kernel.bindings.len() as u32).collect::<Vec<_>>(), "{name}: binding numbers");
        let storage: Vec<Option<Access>> = bound.iter().map(|b| b.1).collect();
        let mut want: Vec<Option<Access>> = kernel.bindings.iter().copied().map(Some).collect();
        want.push(None);
        assert_eq!(storage, want, "{name}: access of the bindings");

        let ty = &module.types[bound[kernel.bindings.len()].2];
        let naga::TypeInner::Struct { members, span } = &ty.inner else { panic!("{name}: parameters are no struct") };
        assert_eq!(ty.name.as_deref(), Some(kernel.params.name), "{name}");
        assert_eq!(*span as usize, kernel.params.size, "{name}: size of the parameters");
        let fields: Vec<(String, usize, &str)> = members
            .iter()
            .map(|m| {
                let ty = match module.types[m.ty].inner {
                    naga::TypeInner::Scalar(naga::Scalar::U32) => "u32",
                    naga::TypeInner::Scalar(naga::Scalar::I32) => "i32",
                    naga::TypeInner::Scalar(naga::Scalar::F32) => "f32",
                    _ => "another type",
                };
                (m.name.clone().unwrap_or_default(), m.offset as usize, ty)
            })
            .collect();
        let twins: Vec<(String, usize, &str)> =
            kernel.params.fields.iter().map(|f| (f.name.to_owned(), f.offset, f.ty)).collect();
        assert_eq!(fields, twins, "{name}: fields of the parameters");

        let entries: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(entries, ["main"], "{name}");
        let size: u32 = module.entry_points[0].workgroup_size.iter().product();
        assert_eq!(size, kernel.workgroup_size, "{name}: workgroup size");
        assert!(size <= 256, "{name}: more invocations than WebGPU's default limit");
        let layouter = {
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).expect("layouts");
            layouter
        };
        let shared: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == naga::AddressSpace::WorkGroup)
            .map(|(_, v)| layouter[v.ty].size)
            .sum();
        assert!(shared <= 16_384, "{name}: {shared} bytes of workgroup memory, WebGPU's default limit is 16384");
        assert!(kernel.bindings.len() <= 8, "{name}: more storage buffers than WebGPU's default limit");
    }
}

#[test]
fn names_are_unique_and_every_kernel_file_is_in_the_table() {
    let mut names: Vec<String> = permutations().into_iter().map(|p| p.1).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two permutations of one name");
    for (path, text) in vljepa_shaders::sources() {
        let entry = text.lines().any(|l| l.starts_with("@compute"));
        assert_eq!(
            kernels::all().any(|k| k.file == *path),
            entry,
            "{path}: an entry point and a table entry go together"
        );
        assert!(text.starts_with("// "), "{path}: the header says what the file is for");
        assert!(!text.contains("atomic<f32>") && !text.contains("0xff800000"), "{path}");
    }
}

#[test]
fn missing_permutations_are_errors() {
    let kernel = kernels::find("binary").expect("the kernel exists");
    assert!(kernel.source(Some(Elem::F16), &[], Target::Native).is_err());
    let lost = Kernel { file: "nowhere.wgsl", ..*kernel };
    assert!(lost.source(None, &[], Target::Native).unwrap_err().to_string().contains("nowhere.wgsl"));
}

/// Browsers use other compilers than naga; `tint` is Chrome's. Where it is not installed the naga tests stand alone.
#[test]
fn tint_accepts_every_permutation_where_it_is_installed() {
    if Command::new("tint").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("tint is not on the PATH: the browser's view of the shaders was not checked");
        return;
    }
    let folder = std::env::temp_dir().join(format!("vljepa-tint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for kernel in kernels::all() {
        for (name, elem, consts) in kernel.permutations() {
            let text = kernel.source(elem, consts, Target::Web).unwrap_or_else(|e| panic!("{name}: {e}"));
            let file = folder.join(format!("{name}.wgsl"));
            std::fs::write(&file, text).expect("written");
            let run = Command::new("tint").args(["--format", "wgsl"]).arg(&file).output().expect("tint runs");
            assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        }
    }
    std::fs::remove_dir_all(&folder).expect("removed");
}
