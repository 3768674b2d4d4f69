//! Status codes and their descriptions, as deployed nodes write and read them.

use crate::error::{Error, ErrorKind};

pub(super) const OK: u32 = 200;
pub(super) const BAD_RESPONSE: u32 = 300;
pub(super) const BAD_REQUEST: u32 = 400;
pub(super) const TOO_MANY_REQUESTS: u32 = 429;
pub(super) const SERVICE_UNAVAILABLE: u32 = 503;
pub(super) const PEER_DIAL_FAILURE: u32 = 504;

/// What tells an unknown cursor from other failures: the words of the deployed archive.
pub(super) const CURSOR_NOT_FOUND: &str = "cursor not found";

/// The longest part of a peer's description that ends in an error of ours, in characters.
const MAX_DESCRIPTION: usize = 200;

/// What a peer is told of an error. The archive's own failures are not spelled out to strangers:
/// their messages may name files.
pub(super) fn of_error(e: &Error) -> (u32, String) {
    use ErrorKind as K;
    match e.kind() {
        K::CursorNotFound => (BAD_RESPONSE, format!("BAD_RESPONSE: {CURSOR_NOT_FOUND}")),
        K::InvalidArgument
        | K::InvalidTopic
        | K::InvalidHash
        | K::InvalidTimeRange
        | K::StoreBadRequest
        | K::Malformed
        | K::Truncated
        | K::FrameTooLarge => (BAD_REQUEST, format!("BAD_REQUEST: {}", e.message())),
        K::Busy | K::Shutdown | K::ArchiveClosed | K::Cancelled | K::Suspended | K::TimedOut => {
            (SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE".to_owned())
        }
        _ => (BAD_RESPONSE, "BAD_RESPONSE: the archive could not answer".to_owned()),
    }
}

/// The error in a peer's status; `None` for success.
pub(super) fn to_error(code: u32, description: &str) -> Option<Error> {
    let unknown_cursor = description.to_ascii_lowercase().contains(CURSOR_NOT_FOUND);
    let kind = match code {
        OK => return None,
        BAD_RESPONSE | BAD_REQUEST if unknown_cursor => ErrorKind::CursorNotFound,
        BAD_REQUEST => ErrorKind::StoreBadRequest,
        TOO_MANY_REQUESTS => ErrorKind::StoreTooManyRequests,
        SERVICE_UNAVAILABLE | PEER_DIAL_FAILURE => ErrorKind::StoreUnavailable,
        _ => ErrorKind::StoreBadResponse,
    };
    // A stranger's text: short, and without control characters that could forge log lines.
    let told: String = description.chars().take(MAX_DESCRIPTION).collect();
    Some(Error::new(kind, format!("the store peer answered {code} {:?}", told)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_status_is_read_back_as_what_it_was_written_for() {
        for (kind, code, read) in [
            (ErrorKind::CursorNotFound, 300, ErrorKind::CursorNotFound),
            (ErrorKind::ArchiveIo, 300, ErrorKind::StoreBadResponse),
            (ErrorKind::InvalidTopic, 400, ErrorKind::StoreBadRequest),
            (ErrorKind::Busy, 503, ErrorKind::StoreUnavailable),
            (ErrorKind::ArchiveClosed, 503, ErrorKind::StoreUnavailable),
        ] {
            let (got, text) = of_error(&Error::new(kind, "/secret/path"));
            assert_eq!(got, code);
            assert_eq!(text.contains("secret"), code == 400);
            assert_eq!(to_error(got, &text).unwrap().kind(), read);
        }
        assert_eq!(to_error(200, "OK"), None);
        assert_eq!(to_error(504, "").unwrap().kind(), ErrorKind::StoreUnavailable);
        assert_eq!(to_error(299, "").unwrap().kind(), ErrorKind::StoreBadResponse);
        let deployed = "BAD_RESPONSE: archive error: DRIVER_ERROR: Cursor not found";
        assert_eq!(to_error(300, deployed).unwrap().kind(), ErrorKind::CursorNotFound);
    }

    #[test]
    fn a_peers_text_is_cut_and_escaped() {
        let e = to_error(300, &format!("a\nb{}", "x".repeat(5000))).unwrap();
        assert!(e.message().contains(r"a\nb") && e.message().len() < 300, "{e}");
    }
}
