//! Pictures and clips as rows of patches, so that convolutions are matrix products.

use vljepa_shaders::kernels::patch::{
    CONV2D_PATCHES, CONV2D_PATCHES_BACKWARD, Conv2dPatchesParams, TUBELET_PATCHES, TubeletPatchesParams,
};

use super::elementwise::need_f32;
use crate::caps::Capabilities;
use crate::error::{Error, Result};
use crate::launch::Launch;

use crate::tensor::{Dtype, Tensor, element_count};

pub use crate::reference::patch::Conv2dPatches;

/// How many of a run of `run` neighbouring elements one invocation copies. One on GPUs, so that neighbouring invocations
/// touch neighbouring memory; the whole run on software adapters, where finding it costs more than copying it.
pub fn choose_patch_chunk(caps: &Capabilities, run: usize) -> usize {
    if caps.software { run.max(1) } else { 1 }
}

fn conv2d_params(options: &Conv2dPatches, [height, width, channels]: [usize; 3]) -> Result<Conv2dPatchesParams> {
    let [out_h, out_w] = options.grid(height, width)?;
    Ok(Conv2dPatchesParams {
        chunks: 0,
        chunk: 1,
        height: height as u32,
        width: width as u32,
        channels: channels as u32,
        out_h: out_h as u32,
        out_w: out_w as u32,
        kernel_h: options.kernel[0] as u32,
        kernel_w: options.kernel[1] as u32,
        stride_y: options.stride[0] as u32,
        stride_x: options.stride[1] as u32,
        pad_y: options.padding[0] as u32,
        pad_x: options.padding[1] as u32,
    })
}

/// Patches of channels-last pictures: `[batch, height, width, channels]` → `[batch, out_h, out_w, kh * kw * channels]`,
/// zero outside of the picture. A convolution is [`super::matmul`] of them with weights `[out, kh * kw * channels]`.
///
/// # Errors
/// [`Error::Shape`] when `x` does not have four axes or no patch fits (the padding must be smaller than the kernel),
/// [`Error::Dtype`] for other types than f32.
pub fn conv2d_patches(x: &Tensor, options: &Conv2dPatches) -> Result<Tensor> {
    const OP: &str = "conv2d_patches";
    need_f32(OP, &[x])?;
    let &[batch, height, width, channels] = x.shape() else {
        return Err(Error::shape(OP, format!("{:?} is not [batch, height, width, channels]", x.shape())));
    };
    let mut params = conv2d_params(options, [height, width, channels])?;
    let [kh, kw] = options.kernel;
    let shape = [batch, params.out_h as usize, params.out_w as usize, kh * kw * channels];
    element_count(OP, &shape)?;
    let y = Tensor::empty(x.device(), &shape, Dtype::F32)?;
    if y.is_empty() {
        return Ok(y);
    }
    let chunk = choose_patch_chunk(x.device().capabilities(), kw * channels);
    let chunks = y.len() / (kw * channels) * (kw * channels).div_ceil(chunk);
    (params.chunk, params.chunks) = (chunk as u32, chunks as u32);
    Launch::op(&CONV2D_PATCHES, [Some(x), Some(&y)]).record_elements(x.device(), &params, chunks as u64)?;
    Ok(y)
}

/// Gradient of [`conv2d_patches`] with respect to `x` of shape `x_shape`, given that of the patches.
///
/// # Errors
/// [`Error::Shape`] when `dy` does not have the size that these options give, [`Error::Dtype`] for other types than f32.
pub fn conv2d_patches_backward(dy: &Tensor, x_shape: [usize; 4], options: &Conv2dPatches) -> Result<Tensor> {
    const OP: &str = "conv2d_patches_backward";
    need_f32(OP, &[dy])?;
    let [batch, height, width, channels] = x_shape;
    let mut params = conv2d_params(options, [height, width, channels])?;
    let [kh, kw] = options.kernel;
    let patches = element_count(OP, &[batch, params.out_h as usize, params.out_w as usize, kh * kw * channels])?;
    if patches != dy.len() {
        return Err(Error::shape(OP, format!("gradient {:?} for a picture {x_shape:?} and {options:?}", dy.shape())));
    }
    let dx = Tensor::empty(dy.device(), &x_shape, Dtype::F32)?;
    if dx.is_empty() {
        return Ok(dx);
    }
    let chunk = choose_patch_chunk(dy.device().capabilities(), channels);
    let chunks = dx.len() / chunk;
    (params.chunk, params.chunks) = (chunk as u32, chunks as u32);
    Launch::op(&CONV2D_PATCHES_BACKWARD, [Some(dy), Some(&dx)]).work(dy.len() as u64).record_elements(
        dy.device(),
        &params,
        chunks as u64,
    )?;
    Ok(dx)
}

fn tubelets(
    op: &'static str,
    clip: [usize; 5],
    tubelet: usize,
    patch: usize,
) -> Result<([usize; 3], TubeletPatchesParams)> {
    let [batch, frames, channels, height, width] = clip;
    let whole = |size: usize, part: usize| part != 0 && size.is_multiple_of(part);
    if !(whole(frames, tubelet) && whole(height, patch) && whole(width, patch)) {
        return Err(Error::shape(
            op,
            format!(
                "a clip {clip:?} (batch, frames, channels, height, width) is not whole tubelets of {tubelet} x {patch} x {patch}"
            ),
        ));
    }
    element_count(op, &clip)?;
    let (grid_t, grid_h, grid_w) = (frames / tubelet, height / patch, width / patch);
    let params = TubeletPatchesParams {
        chunks: 0,
        chunk: 1,
        grid_h: grid_h as u32,
        grid_w: grid_w as u32,
        channels: channels as u32,
        tubelet: tubelet as u32,
        patch_size: patch as u32,
    };
    Ok(([batch, grid_t * grid_h * grid_w, channels * tubelet * patch * patch], params))
}

fn move_tubelets(from: &Tensor, to: &Tensor, mut params: TubeletPatchesParams, inverse: bool) -> Result<()> {
    let run = params.patch_size as usize;
    if from.is_empty() {
        return Ok(());
    }
    let chunk = choose_patch_chunk(from.device().capabilities(), run);
    let chunks = from.len() / run * run.div_ceil(chunk);
    (params.chunk, params.chunks) = (chunk as u32, chunks as u32);
    Launch::op(&TUBELET_PATCHES, [Some(from), Some(to)]).overrides(&[("INVERSE", inverse.into())]).record_elements(
        from.device(),
        &params,
        chunks as u64,
    )
}

/// Tubelets of clips: `[batch, frames, channels, height, width]` →
/// `[batch, (frames / tubelet) * (height / patch) * (width / patch), channels * tubelet * patch * patch]`, tokens in the
/// order t, h, w and elements in the order c, t, h, w: rows for a matrix product with V-JEPA 2's 3-D convolution weight
/// reshaped to `[hidden, channels * tubelet * patch * patch]`.
///
/// # Errors
/// [`Error::Shape`] when the clip is not made of whole tubelets, [`Error::Dtype`] for other types than f32.
pub fn tubelet_patches(clip: &Tensor, tubelet: usize, patch: usize) -> Result<Tensor> {
    const OP: &str = "tubelet_patches";
    need_f32(OP, &[clip])?;
    let Ok(shape) = <[usize; 5]>::try_from(clip.shape()) else {
        return Err(Error::shape(OP, format!("{:?} is not [batch, frames, channels, height, width]", clip.shape())));
    };
    let (tokens, params) = tubelets(OP, shape, tubelet, patch)?;
    let y = Tensor::empty(clip.device(), &tokens, Dtype::F32)?;
    move_tubelets(clip, &y, params, false)?;
    Ok(y)
}

/// Gradient of [`tubelet_patches`] (and its inverse): tokens back into a clip of shape `clip_shape`.
///
/// # Errors
/// [`Error::Shape`] when `dy` does not have the clip's size, [`Error::Dtype`] for other types than f32.
pub fn tubelet_patches_backward(dy: &Tensor, clip_shape: [usize; 5], tubelet: usize, patch: usize) -> Result<Tensor> {
    const OP: &str = "tubelet_patches_backward";
    need_f32(OP, &[dy])?;
    let (_, params) = tubelets(OP, clip_shape, tubelet, patch)?;
    if element_count(OP, &clip_shape)? != dy.len() {
        return Err(Error::shape(OP, format!("gradient {:?} for a clip {clip_shape:?}", dy.shape())));
    }
    let dx = Tensor::empty(dy.device(), &clip_shape, Dtype::F32)?;
    move_tubelets(dy, &dx, params, true)?;
    Ok(dx)
}
