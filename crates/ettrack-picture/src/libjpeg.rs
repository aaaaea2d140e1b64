//! JPEG decoding by libjpeg-turbo (feature `libjpeg`), bit for bit as OpenCV's `imread` decodes.
//!
//! The crate `mozjpeg-sys` compiles the decoder with a C compiler. Its integer transform, its upsampling of chroma and its
//! conversion to RGB are those of libjpeg-turbo, which OpenCV, Pillow and the authors' tools stand on. This is the only file
//! that calls it.
#![allow(unsafe_code)] // the functions are C

use std::any::Any;
use std::ffi::{c_char, c_int, c_long, c_ulong};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ettrack::frame::{Encoding, Region};
use mozjpeg_sys as ffi;
use mozjpeg_sys::J_COLOR_SPACE::{JCS_GRAYSCALE, JCS_RGB, JCS_YCbCr};
use mozjpeg_sys::{JSAMPROW_MUT, jpeg_common_struct, jpeg_decompress_struct};

/// What a JPEG file holds, decoded: nothing where the decoder does not know its colours.
pub(crate) type Decoded = Option<(Encoding, [u32; 2])>;

/// Pixels that the decoder needs around a region, so that the region's pixels are those of the whole picture: chroma is
/// interpolated between blocks, and the first rows after skipped ones are made from fewer neighbours.
const MARGIN: u32 = 16;

/// Longest message of the decoder, bytes (`JMSG_LENGTH_MAX`).
const LONGEST_MESSAGE: usize = 200;

/// Decodes the pixels of a JPEG file into `pixels`, whose memory is reused: grey as `mono8`, colour as `rgb8`.
///
/// Pictures of four components (CMYK) are left to the other decoder: nothing is returned, `pixels` stay as they are.
///
/// # Errors
/// The decoder's message if the file is damaged. `pixels` are then undefined.
pub(crate) fn decode_into(data: &[u8], pixels: &mut Vec<u8>) -> Result<Decoded, String> {
    decode(data, |picture| {
        let Some(encoding) = picture.choose_encoding() else {
            return Ok(None);
        };
        picture.start();
        let size @ [width, height] = picture.size();
        let stride = encoding.row_bytes(width);
        pixels.resize(stride * height as usize, 0);
        for row in pixels.chunks_exact_mut(stride) {
            picture.read_row(row)?;
        }
        picture.finish();
        Ok(Some((encoding, size)))
    })?
}

/// Decodes `wanted` of a JPEG file to its place in `pixels`, which get the size of the whole picture. All other pixels are
/// undefined. Nothing if the file is one that is decoded whole: it has several scans, other colours, or was damaged up to here.
pub(crate) fn decode_region(data: &[u8], wanted: &Region, pixels: &mut Vec<u8>) -> Decoded {
    decode(data, |picture| -> Result<Decoded, String> {
        let Some(encoding) = picture.choose_encoding() else {
            return Ok(None);
        };
        if picture.has_several_scans() {
            return Ok(None);
        }
        picture.start();
        let size @ [width, height] = picture.size();
        let decoded = wanted.grown(MARGIN, (width, height));
        let stride = encoding.row_bytes(width);
        pixels.resize(stride * height as usize, 0);
        if !decoded.is_empty() {
            let left = picture.crop_columns(decoded.left, decoded.right);
            picture.skip_rows(decoded.top);
            let columns = encoding.row_bytes(left)..encoding.row_bytes(decoded.right);
            let rows = decoded.top as usize..decoded.bottom as usize;
            for row in pixels
                .chunks_exact_mut(stride)
                .take(rows.end)
                .skip(rows.start)
            {
                picture.read_row(&mut row[columns.clone()])?;
            }
        }
        picture.stop();
        Ok((picture.warnings() == 0).then_some((encoding, size)))
    })
    .and_then(|decoded| decoded)
    .ok()
    .flatten()
}

/// Whether the decoder uses the processor's vector instructions. On x86 only if `nasm` was there when it was compiled.
pub fn jpeg_has_simd() -> bool {
    unsafe extern "C" {
        /// Part of libjpeg-turbo, but not of its published interface: whether its own transform is used.
        fn jsimd_can_idct_islow() -> c_int;
    }
    // SAFETY: it reads what the processor can do, and has no other condition.
    unsafe { jsimd_can_idct_islow() != 0 }
}

/// A picture whose header was read.
struct Picture<'a> {
    info: &'a mut jpeg_decompress_struct,
}

/// Runs `work` on the picture in `data`.
///
/// # Errors
/// The decoder's message.
fn decode<R>(data: &[u8], work: impl FnOnce(&mut Picture<'_>) -> R) -> Result<R, String> {
    // SAFETY: both are plain C structures, for which zeros are valid. The decoder fills them.
    let (mut errors, mut info): (ffi::jpeg_error_mgr, jpeg_decompress_struct) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // The C code reports an error by a call that must not return. `fail` unwinds from it, without running the panic hook, to
    // here.
    let done = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `errors` and `data` outlive the use of `info`, which stays in its place.
        unsafe {
            ffi::jpeg_std_error(&mut errors);
            errors.error_exit = Some(fail);
            errors.emit_message = Some(count_warning);
            info.common.err = &raw mut errors;
            ffi::jpeg_create_decompress(&raw mut info);
            ffi::jpeg_mem_src(&mut info, data.as_ptr(), data.len() as c_ulong);
            if ffi::jpeg_read_header(&mut info, 0) != 1 {
                return Err("no image in the JPEG file".to_owned());
            }
        }
        Ok(work(&mut Picture { info: &mut info }))
    }));
    // SAFETY: it was created, or holds zeros, for which the function does nothing. It is not used after this.
    unsafe { ffi::jpeg_destroy_decompress(&mut info) };
    done.unwrap_or_else(|payload| Err(message(payload)))
}

/// The message of an unwound error.
fn message(payload: Box<dyn Any + Send>) -> String {
    payload
        .downcast::<String>()
        .map_or_else(|_| "libjpeg failed".to_owned(), |message| *message)
}

/// Called by the C code on an error. Unwinds to [`decode`].
unsafe extern "C-unwind" fn fail(info: &mut jpeg_common_struct) {
    /// The function as C declares it: it writes to the buffer.
    type Format = unsafe extern "C-unwind" fn(*mut jpeg_common_struct, *mut c_char);
    let mut text = [0_u8; LONGEST_MESSAGE];
    // SAFETY: the decoder's error manager is that of `decode`, and its function writes at most this many bytes.
    unsafe {
        if let Some(format) = (*info.err).format_message {
            let format: Format = std::mem::transmute(format);
            format(info, text.as_mut_ptr().cast());
        }
    }
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = format!("libjpeg fatal error: {}", String::from_utf8_lossy(text));
    resume_unwind(Box::new(text));
}

/// Called by the C code with warnings (a level below 0) and remarks. Warnings are counted, nothing is printed.
unsafe extern "C-unwind" fn count_warning(info: &mut jpeg_common_struct, level: c_int) {
    if level < 0 {
        // SAFETY: the decoder's error manager is that of `decode`.
        unsafe { (*info.err).num_warnings += 1 };
    }
}

/// The calls are in the order that the decoder demands. It checks this itself and reports an error otherwise.
impl Picture<'_> {
    /// Chooses the layout of the pixels; `None` for colours that are left to the other decoder.
    fn choose_encoding(&mut self) -> Option<Encoding> {
        let (encoding, space) = match self.info.jpeg_color_space {
            JCS_GRAYSCALE => (Encoding::Mono8, JCS_GRAYSCALE),
            JCS_YCbCr | JCS_RGB => (Encoding::Rgb8, JCS_RGB),
            _ => return None,
        };
        self.info.out_color_space = space;
        Some(encoding)
    }

    fn has_several_scans(&self) -> bool {
        // SAFETY: the header was read.
        unsafe { ffi::jpeg_has_multiple_scans(self.info) != 0 }
    }

    fn start(&mut self) {
        // SAFETY: the header was read.
        unsafe { ffi::jpeg_start_decompress(self.info) };
    }

    /// Width and height of the whole picture.
    fn size(&self) -> [u32; 2] {
        [self.info.image_width, self.info.image_height]
    }

    /// Limits the rows to these columns. Returns the first column that is decoded, which may lie before `left`.
    fn crop_columns(&mut self, left: u32, right: u32) -> u32 {
        let (mut first, mut width) = (left, right - left);
        // SAFETY: the picture was started.
        unsafe { ffi::jpeg_crop_scanline(self.info, &mut first, &mut width) };
        first
    }

    fn skip_rows(&mut self, rows: u32) {
        // SAFETY: the picture was started, and its source has all bytes.
        unsafe { ffi::jpeg_skip_scanlines(self.info, rows) };
    }

    /// Decodes the next row.
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), String> {
        let bytes = self.info.output_width as usize * self.info.output_components as usize;
        // The decoder does not know the length of the row.
        assert_eq!(row.len(), bytes, "bytes of a decoded row");
        let mut rows: [JSAMPROW_MUT; 1] = [row.as_mut_ptr()];
        // SAFETY: there is one row, and it holds as many bytes as the decoder writes.
        match unsafe { ffi::jpeg_read_scanlines(self.info, rows.as_mut_ptr(), 1) } {
            1 => Ok(()),
            _ => Err("the JPEG file has fewer rows than its header says".to_owned()),
        }
    }

    /// Reads the rest of the file after the last row.
    fn finish(&mut self) {
        // SAFETY: all rows were read.
        unsafe { ffi::jpeg_finish_decompress(self.info) };
    }

    /// Ends before the last row.
    fn stop(&mut self) {
        // SAFETY: a picture may be ended at any time.
        unsafe { ffi::jpeg_abort_decompress(self.info) };
    }

    /// Damaged places that the decoder passed over so far.
    fn warnings(&self) -> c_long {
        // SAFETY: the error manager is that of `decode`.
        unsafe { (*self.info.common.err).num_warnings }
    }
}
