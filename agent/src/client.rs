//! The way to a daemon: HTTP over the socket in the data folder.
//!
//! [`reach`] finds whoever can answer for a data folder: the daemon if one listens, else the folder itself. It never starts a
//! daemon, and it never talks to anything but that one socket.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::UnixStream, runtime::Runtime};

use crate::ask::{Answers, Ask, Failure, FailureKind};

/// The socket's name in the data folder.
pub const SOCKET: &str = "hearth.sock";

/// The longest path that is handed to the system as it is; it takes 107 bytes.
const PATH_MAX: usize = 100;

/// How long a daemon may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long to wait for a daemon that has the folder but does not listen yet.
const START_MAX: Duration = Duration::from_secs(5);

/// The largest answer that is read: the text of one item, or the runs of one part of a batch.
const ANSWER_MAX: usize = 1 << 30;

/// A path to a socket that the system accepts, however deep the data folder lies.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    /// Keeps `/proc/self/fd/N` alive.
    _folder: Option<File>,
}

impl SocketPath {
    /// The path of `name` in `folder`, by way of an open file descriptor when it is too long.
    pub(crate) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A daemon that answers.
#[derive(Debug)]
pub struct Client {
    data: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// The daemon of this data folder; `None` when nobody listens there.
    ///
    /// # Errors
    /// When the socket is there and may not be used, or the daemon does not accept.
    pub fn connect(data: &Path) -> Result<Option<Self>, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(FailureKind::Failed, format!("cannot start a connection: {error}")))?;
        let client = Self { data: data.to_owned(), runtime };
        match client.runtime.block_on(open(data)) {
            Ok(stream) => {
                drop(stream);
                Ok(Some(client))
            }
            Err(error) if nobody(&error) => Ok(None),
            Err(error) => Err(unreachable(&error)),
        }
    }
}

impl Answers for Client {
    fn answer(&self, ask: Ask) -> Result<Value, Failure> {
        self.runtime.block_on(exchange(&self.data, &ask))
    }
}

/// Finds whoever answers for a data folder: the daemon, else `folder`, which opens it here.
///
/// # Errors
/// What the opener says; when the folder is busy and no daemon appears within some seconds, to try later.
pub fn reach(data: &Path, folder: impl Fn() -> Result<Box<dyn Answers>, Failure>) -> Result<Box<dyn Answers>, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(client) = Client::connect(data)? {
            return Ok(Box::new(client));
        }
        match folder() {
            // A daemon that is starting has the folder before it listens; another command has it until it ends.
            Err(failure) if failure.kind == FailureKind::Busy => {
                if begun.elapsed() >= START_MAX {
                    return Err(failure);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
}

async fn open(data: &Path) -> io::Result<UnixStream> {
    let socket = SocketPath::of(data, SOCKET)?;
    tokio::time::timeout(CONNECT_MAX, UnixStream::connect(socket.path()))
        .await
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

async fn exchange(data: &Path, ask: &Ask) -> Result<Value, Failure> {
    let body = serde_json::to_vec(ask).map_err(|error| {
        Failure::new(FailureKind::Usage, format!("cannot put this into words for the daemon: {error}"))
    })?;
    let stream = open(data).await.map_err(|error| {
        if nobody(&error) {
            Failure::new(FailureKind::Unreachable, "the daemon has stopped; start it with `hearth up`")
        } else {
            unreachable(&error)
        }
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let request = Request::post("/v1/ask")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a fixed path and fixed headers make a request");
    let talk = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|_| {
                Failure::new(FailureKind::Failed, "the daemon's answer broke off or is too large; ask for less")
            })?
            .to_bytes();
        read(status, &body)
    };
    tokio::pin!(talk);
    tokio::select! {
        answer = &mut talk => answer,
        // The connection ends when the exchange is over, or because it broke; the exchange then knows which.
        _ = connection => talk.await,
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|_| strange());
    }
    Err(serde_json::from_slice::<Failure>(body).unwrap_or_else(|_| strange()))
}

fn strange() -> Failure {
    Failure::new(
        FailureKind::Failed,
        "the daemon's answer was not understood; restart it (`hearth stop`, then `hearth up`) so that it and this command are of one version",
    )
}

/// No socket, or a socket that a dead daemon left behind.
fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory)
}

fn unreachable(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::new(
            FailureKind::Denied,
            "the daemon of this data folder belongs to another user; run the command as that user, or name your own folder with --data",
        ),
        io::ErrorKind::TimedOut => Failure::new(
            FailureKind::Unreachable,
            "the daemon is there and does not answer; look at its log, and stop it if it hangs",
        ),
        _ => Failure::new(FailureKind::Unreachable, format!("cannot talk to the daemon: {error}")),
    }
}

fn broken(error: &hyper::Error) -> Failure {
    Failure::new(FailureKind::Unreachable, format!("the connection to the daemon broke ({error}); ask again"))
}
