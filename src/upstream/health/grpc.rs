//! The health checks of gRPC services: one method that says how the server is (grpc/grpc, doc/health-checking.md).

use std::{future::poll_fn, pin::pin};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, header};
use http_body::Body;

use super::super::RequestBodyError;
use crate::message::Fields;

/// The path of that method: where it is what a check asks for, it is asked as gRPC asks.
pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// How gRPC asks (grpc/grpc, doc/PROTOCOL-HTTP2.md).
pub(super) const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
    (header::TE, HeaderValue::from_static("trailers")),
];
/// A message that is not compressed, of no bytes: the server as a whole is meant.
pub(super) const REQUEST: &[u8] = &[0, 0, 0, 0, 0];
/// The same before a message of two bytes: field 1, a number; and it is 1, SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
/// More is no answer to a check, in bytes.
const MOST: usize = 4096;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How a server is that is not well.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GrpcFailure {
    #[error("it has no service grpc.health.v1.Health: its health cannot be asked for in this way")]
    Unknown,
    #[error("it answered grpc-status {0}")]
    Status(String),
    #[error("it says that it is not serving")]
    NotServing,
}

/// Reads an answer to its end.
///
/// # Errors
/// It broke off; and within that, what it says.
pub(super) async fn read<B>(head: &Fields, body: B) -> Result<Result<(), GrpcFailure>, RequestBodyError>
where
    B: Body<Data = Bytes, Error = RequestBodyError>,
{
    let (mut message, mut trailers) = (BytesMut::new(), Fields::new());
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) if message.len() + data.len() > MOST => return Err("it is too long".into()),
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default().into(),
        }
    }
    Ok(verdict(trailers.get(STATUS).or(head.get(STATUS)), &message))
}

fn verdict(status: Option<&HeaderValue>, message: &[u8]) -> Result<(), GrpcFailure> {
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") if message == SERVING => Ok(()),
        Some(b"0") => Err(GrpcFailure::NotServing),
        // UNIMPLEMENTED
        Some(b"12") => Err(GrpcFailure::Unknown),
        other => Err(GrpcFailure::Status(String::from_utf8_lossy(other.unwrap_or(b"none")).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says() {
        let said = |status: &'static str| HeaderValue::from_static(status);
        assert_eq!(verdict(Some(&said("0")), SERVING), Ok(()));
        for (status, message, wanted) in [
            ("0", &[0, 0, 0, 0, 2, 8, 2][..], GrpcFailure::NotServing),
            // The default of a number is 0, UNKNOWN.
            ("0", &[0, 0, 0, 0, 0], GrpcFailure::NotServing),
            ("0", b"", GrpcFailure::NotServing),
            ("12", b"", GrpcFailure::Unknown),
            ("14", b"", GrpcFailure::Status("14".to_owned())),
        ] {
            assert_eq!(verdict(Some(&said(status)), message), Err(wanted), "{status}");
        }
        assert_eq!(verdict(None, SERVING), Err(GrpcFailure::Status("none".to_owned())));
    }
}
