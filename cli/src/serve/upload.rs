//! The photo in a request.

use super::Refusal;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use std::future::poll_fn;
use std::pin::Pin;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum size of a request in bytes. Photos of phones and cameras have 2 to 40 million bytes.
const LARGEST: usize = 64 << 20;
/// Memory is allocated in pieces of this many bytes as a photo arrives. A client that sends nothing takes
/// none.
const PIECE: usize = 64 << 10;
/// Maximum number of pieces of all photos that wait or are being received: eight of the largest photos.
pub const ROOM: usize = 8 * LARGEST / PIECE;
/// The form field that contains the photo.
const FIELD: &str = "photo";

/// The request's body; of a form (`multipart/form-data`), the field `photo`. Also returned are the permits of
/// `room` that it takes; hold them as long as the body exists.
///
/// # Errors
/// With status 413 above 64 MiB; with 400 for a form without the field, or a body that breaks off.
pub async fn photo(request: Request, room: &Semaphore) -> Result<(Bytes, SemaphorePermit<'_>), Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form =
        kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"));
    let (head, body) = request.into_parts();
    let (bytes, held) = whole(body, room).await?;
    if !is_form {
        return Ok((bytes, held));
    }
    let broken = |error: MultipartError| Refusal::request(error.body_text());
    let request = Request::from_parts(head, Body::from(bytes));
    let mut form = Multipart::from_request(request, &()).await.map_err(Refusal::request)?;
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if field.name() == Some(FIELD) {
            return Ok((field.bytes().await.map_err(broken)?, held));
        }
    }
    Err(Refusal::request(format_args!("the form has no field named `{FIELD}`")))
}

/// The complete body. A body that is too large is also read to its end, but not kept, because most clients
/// read a refusal only after they have sent everything.
async fn whole(mut body: Body, room: &Semaphore) -> Result<(Bytes, SemaphorePermit<'_>), Refusal> {
    let (mut bytes, mut total) = (vec![], 0usize);
    let mut held = room.acquire_many(0).await.map_err(Refusal::server)?;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(Refusal::request)?.into_data() else { continue };
        total += data.len();
        if total <= LARGEST {
            let more = total.div_ceil(PIECE) - held.num_permits();
            held.merge(room.acquire_many(more as u32).await.map_err(Refusal::server)?);
            bytes.extend_from_slice(&data);
        } else {
            bytes = vec![];
            drop(held.split(held.num_permits()));
        }
    }
    if total <= LARGEST {
        return Ok((bytes.into(), held));
    }
    let text = format!("a photo may have at most {} MiB; send a smaller copy", LARGEST >> 20);
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text))
}
