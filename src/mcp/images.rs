//! Images as models take them: no side longer than they look at, and as few bytes as that needs. What
//! cannot be made to fit is linked.

use std::io::Cursor;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::memory::Account;

/// The longest side that models look at, in pixels; they scale down what is larger themselves.
const LONGEST_SIDE: u32 = 1568;

/// The largest image that is decoded, in bytes of its pixels: 16 million of four bytes.
const DECODED_BYTES: u64 = 64 << 20; // 64 MiB

/// Of 100. Lines of plots keep sharp edges.
const JPEG_QUALITY: u8 = 85;

const PNG: &str = "image/png";

/// How many images are scaled at one time.
const AT_ONCE: usize = 2;

/// Scales images, a few at a time.
#[derive(Clone, Debug)]
pub(super) struct Scaler(Arc<Semaphore>);

/// An image in base64, and its type.
pub(super) type Encoded = (&'static str, String);

impl Scaler {
    pub(super) fn new() -> Scaler {
        Scaler(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// The image in at most so many bytes of base64, if it can be made to fit. `memory` is charged for the
    /// pixels.
    pub(super) async fn fit(
        &self,
        image: Encoded,
        most: usize,
        memory: &Account,
    ) -> Option<Encoded> {
        let (mime, data) = image;
        // Plots are PNGs, whose decoder is safe Rust; that of JPEGs is not. Models take others as they are.
        if mime != PNG {
            return (data.len() <= most).then_some((mime, data));
        }
        let bytes = STANDARD.decode(&data).ok()?;
        let reader = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Png);
        let (width, height) = reader.into_dimensions().ok()?;
        if width.max(height) <= LONGEST_SIDE && data.len() <= most {
            return Some((mime, data));
        }
        let pixels = u64::from(width) * u64::from(height) * 4;
        // Those of the scaled image are fewer.
        let charge = usize::try_from(2 * pixels.min(DECODED_BYTES)).ok()?;
        let _charge = memory.try_charge(charge).ok()?;
        let _permit = self.0.acquire().await.ok()?;
        // A decoder that panics has made nothing.
        let scaled = spawn_blocking(move || scale(&bytes)).await.ok()??;
        (scaled.1.len() <= most).then_some(scaled)
    }
}

/// Decodes a PNG, makes its longest side fit, and encodes it again.
fn scale(bytes: &[u8]) -> Option<Encoded> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES);
    reader.limits(limits);
    let mut image = reader.decode().ok()?;
    if image.width().max(image.height()) > LONGEST_SIDE {
        image = image.resize(LONGEST_SIDE, LONGEST_SIDE, FilterType::Triangle);
    }
    let mut png = Vec::new();
    image.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).ok()?;
    let smaller = jpeg(&image).filter(|jpeg| jpeg.len() < png.len());
    Some(match smaller {
        Some(jpeg) => ("image/jpeg", STANDARD.encode(jpeg)),
        None => (PNG, STANDARD.encode(png)),
    })
}

/// The same as JPEG, which knows no transparency. `None`: it has some.
fn jpeg(image: &DynamicImage) -> Option<Vec<u8>> {
    let has_alpha = image.color().has_alpha();
    if has_alpha && image.to_rgba8().pixels().any(|pixel| pixel.0[3] != u8::MAX) {
        return None;
    }
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY);
    image.to_rgb8().write_with_encoder(encoder).ok()?;
    Some(jpeg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;
    use image::{Rgba, RgbaImage};

    /// An image with so much detail that PNG takes many bytes.
    fn noisy(width: u32, height: u32, alpha: u8) -> Encoded {
        let mut state = 1_u32;
        let image = RgbaImage::from_fn(width, height, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [red, green, blue, _] = state.to_be_bytes();
            Rgba([red, green, blue, alpha])
        });
        let mut png = Vec::new();
        image.write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        ("image/png", STANDARD.encode(png))
    }

    fn size((mime, data): &Encoded) -> (u32, u32) {
        let bytes = STANDARD.decode(data).unwrap();
        let format = ImageFormat::from_mime_type(mime).unwrap();
        ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().unwrap()
    }

    #[tokio::test]
    async fn an_image_that_fits_stays_as_it_is() {
        let memory = Budget::new(1 << 30).account();
        let small = noisy(100, 50, 255);
        let fitted = Scaler::new().fit(small.clone(), 1 << 20, &memory).await;
        assert_eq!(fitted, Some(small));
    }

    #[tokio::test]
    async fn a_large_one_is_scaled_and_becomes_a_jpeg_where_that_is_smaller() {
        let memory = Budget::new(1 << 30).account();
        let large = noisy(3136, 60, 255);
        let fitted = Scaler::new().fit(large, 2 << 20, &memory).await.unwrap();
        assert_eq!((fitted.0, size(&fitted)), ("image/jpeg", (1568, 30)));
        // What can be seen through stays so.
        let fitted = Scaler::new().fit(noisy(1600, 8, 7), 2 << 20, &memory).await.unwrap();
        assert_eq!((fitted.0, size(&fitted)), ("image/png", (1568, 8)));
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn what_cannot_be_made_to_fit_is_not_sent() {
        let memory = Budget::new(1 << 30).account();
        let scaler = Scaler::new();
        assert_eq!(scaler.fit(noisy(1600, 60, 255), 1000, &memory).await, None);
        let broken = ("image/png", STANDARD.encode(b"\x89PNG\r\n\x1a\nbroken"));
        assert_eq!(scaler.fit(broken, 1 << 20, &memory).await, None);
        // Its header says that it is far larger than what is decoded.
        let (_, data) = noisy(8, 8, 255);
        let mut bomb = STANDARD.decode(data).unwrap();
        bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let bomb = ("image/png", STANDARD.encode(bomb));
        assert_eq!(scaler.fit(bomb, 1 << 20, &memory).await, None);
        let none = Budget::new(1 << 20).account();
        assert_eq!(scaler.fit(noisy(1600, 60, 255), 8 << 20, &none).await, None);
    }
}
