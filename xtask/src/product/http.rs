//! One request and its answer over a plain stream: a client library would be the largest part of our chores.
//!
//! The connection ends with the answer, so nothing here reads lengths or chunks.

use std::io::{Error, ErrorKind, Read, Write};

/// What came back.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// A GET. It says HTTP/1.0, so that the answer is not chunked and ends with the connection.
pub(super) fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n")
}

/// A POST of JSON.
pub(super) fn post(path: &str, host: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends the request and reads to the end.
pub(super) fn exchange(mut stream: impl Read + Write, request: &str) -> Result<Answer, Error> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    read(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the answer is no HTTP"))
}

fn read(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        for (case, answer, expected) in [
            ("an answer", "HTTP/1.0 200 OK\r\nx: y\r\n\r\n{}\r\n\r\n", Some((200, "{}\r\n\r\n"))),
            ("without a body", "HTTP/1.1 404 Not Found\r\nx: y\r\n\r\n", Some((404, ""))),
            ("without a head", "hello", None),
            ("without a status", "hello\r\n\r\n", None),
        ] {
            let expected = expected.map(|(status, body)| Answer { status, body: body.to_owned() });
            assert_eq!(read(answer), expected, "{case}");
        }
    }
}
