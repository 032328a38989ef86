//! Kernels from outside of the crate: what they do wrong is an error, and they reach no memory but their bindings.

use vljepa_tensor::shaders::{Access, Elem, Kernel, Params, ParamsLayout, kernels, params};
use vljepa_tensor::{Device, DeviceOptions, Dtype, Error, Launch, Tensor};

use crate::support::{device, noise, two_devices, upload};

params! {
    /// As in the texts below.
    OwnParams { len: u32, at: u32 }
    /// The same size, other names.
    OtherParams { at: u32, len: u32 }
    /// One field too many.
    LongParams { len: u32, at: u32, more: u32 }
}

/// Reads one tensor, writes another, and says that its text stands in a file that does not exist.
const OWN: Kernel = Kernel {
    name: "own",
    file: "none.wgsl",
    bindings: &[Access::Read, Access::ReadWrite],
    params: OwnParams::LAYOUT,
    elems: &[],
    consts: &[],
    subgroup: false,
    workgroup_size: 64,
};

const HEAD: &str = "
struct OwnParams { len: u32, at: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: OwnParams;
";

fn text(body: &str) -> String {
    format!(
        "{HEAD}\n@compute @workgroup_size(64)\nfn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n{body}\n}}\n"
    )
}

/// A device whose own kernels are compiled without bounds checks, as in a release build.
fn unchecked() -> Device {
    let mut options = DeviceOptions::default();
    options.checked_shaders = Some(false);
    Device::open(options).unwrap()
}

fn run_on(device: &Device, kernel: &'static Kernel, text: &str, x: &[f32]) -> Result<Vec<f32>, Error> {
    let (x, y) = (upload(device, &[x.len()], x), Tensor::zeros(device, &[x.len()], Dtype::F32)?);
    let params = OwnParams { len: x.len() as u32, at: 0 };
    Launch::new(kernel, [Some(&x), Some(&y)]).text(text).record_elements(device, &params, x.len() as u64)?;
    y.to_f32()
}

#[track_caller]
fn refused(kernel: &'static Kernel, text: &str, part: &str) {
    let error = run_on(&device(), kernel, text, &[1.0, 2.0]).unwrap_err();
    assert!(matches!(error, Error::Interface { .. }), "{error:?}");
    assert!(error.to_string().contains(part) && error.to_string().contains(kernel.name), "{error}");
}

#[test]
fn kernels_of_one_name_run_their_own_texts() {
    for (name, device) in two_devices() {
        let double = text("if id.x < params.len { y[id.x] = 2.0 * x[id.x]; }");
        let negate = text("if id.x < params.len { y[id.x] = -x[id.x]; }");
        for _ in 0..2 {
            assert_eq!(run_on(&device, &OWN, &double, &[1.0, 2.5]).unwrap(), [2.0, 5.0], "{name}");
            assert_eq!(run_on(&device, &OWN, &negate, &[1.0, 2.5]).unwrap(), [-1.0, -2.5], "{name}");
        }
    }
}

#[test]
fn kernels_of_one_name_keep_their_own_descriptions() {
    const WRITES_FIRST: Kernel = Kernel { bindings: &[Access::ReadWrite, Access::Read], ..OWN };
    let device = device();
    let body = text("if id.x < params.len { y[id.x] = x[id.x] + 1.0; }");
    assert_eq!(run_on(&device, &OWN, &body, &[1.0]).unwrap(), [2.0]);
    refused(&WRITES_FIRST, &body, "binding 0");
}

/// Runs `launch` with 64 tensors around the one it gets, and checks that they keep their values.
fn neighbours_survive(what: &str, launch: impl Fn(&Device, &Tensor, &Tensor)) {
    let device = unchecked();
    let values: Vec<f32> = (0..256).map(|i| i as f32 + 0.5).collect();
    let around = |count: usize| (0..count).map(|_| upload(&device, &[256], &values)).collect::<Vec<_>>();
    let (before, x, y, after) = (around(32), upload(&device, &[64], &noise(1, 64)), around(1), around(32));
    launch(&device, &x, &y[0]);
    device.synchronize().unwrap();
    for (i, t) in before.iter().chain(&after).enumerate() {
        assert_eq!(t.to_f32().unwrap(), values, "{what}: neighbour {i}");
    }
    assert_eq!(x.to_f32().unwrap(), noise(1, 64), "{what}: the input");
}

#[test]
fn indices_out_of_bounds_touch_no_neighbour() {
    let write = text("y[params.at + id.x * 64u] = 1e9;");
    let negative = text("y[u32(-i32(id.x) * 64 - 64)] = 1e9;");
    for (text, at) in [(&write, 256), (&write, 1 << 20), (&write, u32::MAX - 4096), (&negative, 0)] {
        neighbours_survive("own text", |device, x, y| {
            let params = OwnParams { len: 64, at };
            Launch::new(&OWN, [Some(x), Some(y)]).text(text).record(device, &params, 16).unwrap();
        });
    }
}

/// Drivers may clamp what is bound; only compiled-in checks hold arrays of the text and give what WGSL says of a division
/// by zero.
#[test]
fn checks_are_compiled_in_whatever_the_device_was_opened_with() {
    let device = unchecked();
    let local = text("var a = array<f32, 4>(1.0, 2.0, 3.0, 4.0); y[id.x] = a[(id.x + 1u) * 1000u + params.at];");
    let got = run_on(&device, &OWN, &local, &[0.0; 64]).unwrap();
    assert!(got.iter().all(|v| [0.0, 1.0, 2.0, 3.0, 4.0].contains(v)), "{got:?}");
    let divide = text("y[id.x] = f32(params.len / params.at) + f32(params.len % params.at);");
    assert_eq!(run_on(&device, &OWN, &divide, &[0.0; 64]).unwrap(), [64.0; 64]);
}

#[test]
fn our_kernels_with_sizes_from_outside_touch_no_neighbour() {
    // By the table itself, and by a description of one's own that names a file of ours.
    const FILL: Kernel = kernels::elementwise::FILL;
    const NAMED: Kernel = Kernel { name: "mine", ..kernels::elementwise::FILL };
    for kernel in [&FILL, &NAMED] {
        neighbours_survive(kernel.name, |device, _, y| {
            let params = kernels::elementwise::FillParams { len: 1 << 24, bits: 1e9f32.to_bits() };
            Launch::new(kernel, [Some(y)]).record_elements(device, &params, 1 << 16).unwrap();
            assert_eq!(y.to_f32().unwrap(), [1e9; 256]);
        });
    }
}

#[test]
fn workgroup_memory_starts_at_zero() {
    let device = unchecked();
    let body = "
        scratch[(id.x + 1u) % 64u] += 1.0;
        workgroupBarrier();
        y[id.x] = scratch[id.x % 64u];
    ";
    let dirty = format!("var<workgroup> scratch: array<f32, 64>;\n{}", text(&body.replace("+= 1.0", "= 77.0")));
    let clean = format!("var<workgroup> scratch: array<f32, 64>;\n{}", text(body));
    for _ in 0..3 {
        assert_eq!(run_on(&device, &OWN, &dirty, &[0.0; 64]).unwrap(), [77.0; 64]);
        assert_eq!(run_on(&device, &OWN, &clean, &[0.0; 64]).unwrap(), [1.0; 64]);
    }
}

#[test]
fn parameters_must_be_those_of_the_kernel() {
    let device = device();
    let body = text("if id.x < params.len { y[id.x] = x[id.x]; }");
    let (x, y) = (upload(&device, &[2], &[1.0; 2]), upload(&device, &[2], &[0.0; 2]));
    let launch = || Launch::new(&OWN, [Some(&x), Some(&y)]).text(&body);
    let other = launch().record_elements(&device, &OtherParams { at: 0, len: 2 }, 2);
    assert!(matches!(other, Err(Error::Interface { kernel: "own", .. })), "{other:?}");
    let long = launch().record_elements(&device, &LongParams { len: 2, at: 0, more: 0 }, 2);
    assert!(matches!(long, Err(Error::Interface { .. })), "{long:?}");
    // No work is no excuse, and kernels of ours are held to the same.
    let none = launch().record_elements(&device, &OtherParams { at: 0, len: 2 }, 0);
    assert!(matches!(none, Err(Error::Interface { .. })), "{none:?}");
    let ours = Launch::new(&kernels::elementwise::FILL, [Some(&y)]).record_elements(&device, &LongParams::default(), 2);
    assert!(matches!(ours, Err(Error::Interface { kernel: "fill", .. })), "{ours:?}");

    /// Says that it is the other struct, and is shorter.
    #[repr(C)]
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    struct Short(u32);
    impl Params for Short {
        const LAYOUT: ParamsLayout = OwnParams::LAYOUT;
    }
    let short = launch().record_elements(&device, &Short(2), 2);
    assert!(matches!(short, Err(Error::Interface { .. })), "{short:?}");
}

#[test]
fn parameters_of_the_text_must_be_those_of_the_kernel() {
    let body = text("y[id.x] = x[id.x];");
    refused(&OWN, &body.replace("len: u32, at: u32", "at: u32, len: u32"), "len: u32 at 0");
    refused(&OWN, &body.replace("len: u32, at: u32", "len: u32, at: f32"), "at: f32 at 4");
    refused(&OWN, &body.replace("len: u32, at: u32", "len: u32"), "8 bytes");
    refused(&OWN, &body.replace("params: OwnParams", "params: vec2<u32>"), "no struct");
    const LARGE: Kernel = Kernel { params: ParamsLayout { size: 1 << 20, ..OwnParams::LAYOUT }, ..OWN };
    refused(&LARGE, &body, "1048576");
}

#[test]
fn parameters_beyond_the_limit_are_refused() {
    const WORDS: usize = 1 << 20;
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Huge([[u32; 1024]; WORDS / 1024]);
    // SAFETY: an array of words.
    unsafe impl bytemuck::Zeroable for Huge {}
    // SAFETY: an array of words.
    unsafe impl bytemuck::Pod for Huge {}
    impl Params for Huge {
        const LAYOUT: ParamsLayout = ParamsLayout { name: "Huge", size: WORDS * 4, fields: &[] };
    }
    const LARGE: Kernel = Kernel { params: Huge::LAYOUT, ..OWN };
    let [(_, _), (_, plain)] = two_devices();
    let x = upload(&plain, &[2], &[1.0; 2]);
    let params = Box::new(Huge([[0; 1024]; WORDS / 1024]));
    let huge = Launch::new(&LARGE, [Some(&x), Some(&x)]).record_elements(&plain, &*params, 2);
    assert!(matches!(huge, Err(Error::Limit { .. })), "{huge:?}");
}

#[test]
fn bindings_must_be_those_of_the_kernel() {
    let body = text("y[id.x] = x[id.x];");
    refused(&OWN, &body.replace("read> x", "read_write> x"), "binding 0");
    refused(&OWN, &body.replace("@binding(0)", "@binding(3)"), "@binding(3)");
    refused(&OWN, &body.replace("@group(0) @binding(0)", "@group(1) @binding(0)"), "@group(1)");
    let fewer = body.replace("@group(0) @binding(0) var<storage, read> x: array<f32>;", "const x = array<f32, 2>();");
    refused(&OWN, &fewer, "no binding 0");
    let more = format!("@group(0) @binding(4) var<storage, read> z: array<f32>;\n{body}");
    refused(&OWN, &more, "@binding(4)");
    let twice = format!("@group(0) @binding(0) var<storage, read> z: array<f32>;\n{body}");
    refused(&OWN, &twice, "twice");

    let device = device();
    let (x, y) = (upload(&device, &[2], &[1.0; 2]), upload(&device, &[2], &[0.0; 2]));
    let params = OwnParams { len: 2, at: 0 };
    let run = |bindings: Vec<Option<&Tensor>>, text: &str| {
        Launch::new(&OWN, bindings).text(text).record_elements(&device, &params, 2)
    };
    assert!(matches!(run(vec![Some(&x)], &body), Err(Error::Invalid(_))));
    assert!(matches!(run(vec![Some(&x), Some(&y), Some(&x)], &body), Err(Error::Invalid(_))));
    assert!(matches!(run(vec![Some(&y), Some(&y)], &body), Err(Error::Invalid(_))));
    assert!(matches!(run(vec![Some(&x), None], &body), Err(Error::Interface { .. })));
    // A text that declares more than the tensor has.
    let sized = body.replace("x: array<f32>", "x: array<f32, 1000>");
    assert!(matches!(run(vec![Some(&x), Some(&y)], &sized), Err(Error::Interface { .. })));
    run(vec![None, Some(&y)], &body).unwrap();
    device.synchronize().unwrap();

    const MANY: Kernel = Kernel { bindings: &[Access::Read; 400], ..OWN };
    let [(_, _), (_, plain)] = two_devices();
    let x = upload(&plain, &[2], &[1.0; 2]);
    let many = Launch::new(&MANY, [Some(&x); 400]).text(&body).record_elements(&plain, &params, 2);
    assert!(matches!(many, Err(Error::Limit { .. })), "{many:?}");
}

#[test]
fn entry_point_and_workgroups_must_be_those_of_the_kernel() {
    let body = text("y[id.x] = x[id.x];");
    refused(&OWN, &body.replace("fn main", "fn start"), "`main`");
    refused(&OWN, &body.replace("@workgroup_size(64)", "@workgroup_size(32)"), "32 invocations");
    refused(&OWN, &format!("override SIZE: u32 = 64;\n{}", body.replace("size(64)", "size(SIZE)")), "override");
    const NONE: Kernel = Kernel { workgroup_size: 0, ..OWN };
    refused(&NONE, &body, "no invocations");
    // Workgroups of three dimensions are counted as one number.
    assert!(run_on(&device(), &OWN, &body.replace("size(64)", "size(4, 4, 4)"), &[1.0]).is_ok());
}

#[test]
fn texts_that_do_not_compile_are_errors_with_the_line() {
    let device = device();
    let error = run_on(&device, &OWN, &text("y[id.x] = x[id.x] +;"), &[1.0]).unwrap_err();
    assert!(matches!(error, Error::Wgsl { kernel: "own", .. }), "{error:?}");
    assert!(error.to_string().contains("y[id.x] = x[id.x] +;"), "{error}");
    let error = run_on(&device, &OWN, &text("y[id.x] = 1u;"), &[1.0]).unwrap_err();
    assert!(matches!(error, Error::Wgsl { .. }) && error.to_string().contains("own"), "{error:?}");
    let missing = run_on(&device, &OWN, "//#include \"nowhere.wgsl\"", &[1.0]).unwrap_err();
    assert!(matches!(missing, Error::Shader(_)) && missing.to_string().contains("nowhere.wgsl"), "{missing}");
    let (x, y) = (upload(&device, &[1], &[1.0]), upload(&device, &[1], &[0.0]));
    let launch = || Launch::new(&OWN, [Some(&x), Some(&y)]);
    let params = OwnParams { len: 1, at: 0 };
    assert!(matches!(launch().record_elements(&device, &params, 1), Err(Error::Shader(_))));
    let body = text("y[id.x] = x[id.x];");
    let unknown = launch().text(&body).overrides(&[("LANES", 1)]).record_elements(&device, &params, 1);
    assert!(matches!(unknown, Err(Error::Interface { .. })), "{unknown:?}");
    let typed = launch().text(&body).elem(Elem::F16).record_elements(&device, &params, 1);
    assert!(matches!(typed, Err(Error::Shader(_))), "{typed:?}");
    // The device is none the worse.
    assert_eq!(run_on(&device, &OWN, &body, &[3.0]).unwrap(), [3.0]);
}
