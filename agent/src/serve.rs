//! The daemon's two doors: the socket for the command, and the page on loopback.
//!
//! Both lead to the same [`Answers`]. The socket's door is its file mode; the page's is a token. Nothing here decides what an
//! answer is, and nothing is opened that another machine could reach.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use serde_json::Value;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, SemaphorePermit},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ask::{Answers, Ask, Failure, FailureKind},
    client::{SOCKET, SocketPath},
    config::{Hex32, Loopback},
    page,
};

/// The file that holds the page's token.
pub const TOKEN: &str = "page.token";

/// The file that says where the page listens, while it does.
pub const ADDRESS: &str = "page.address";

/// How many questions are worked on at once.
const QUICK_MAX: usize = 8;

/// How many long orders are carried out at once.
const LONG_MAX: usize = 2;

/// How long a question waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How many connections each door holds.
const CONNECTIONS_MAX: usize = 128;

/// How long a client may take to say what it wants.
const HEADERS_MAX: Duration = Duration::from_secs(10);

/// How long what was begun may take to end when the daemon stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The largest order over the socket: a part of a batch of queries.
const ORDER_MAX: usize = 8 << 20;

/// Where questions wait for their turn, so that many of them cannot use up the machine.
pub struct Desk {
    answers: Arc<dyn Answers>,
    quick: Semaphore,
    long: Semaphore,
}

impl Desk {
    /// A desk before whoever answers.
    pub fn new(answers: Arc<dyn Answers>) -> Arc<Self> {
        Arc::new(Self { answers, quick: Semaphore::new(QUICK_MAX), long: Semaphore::new(LONG_MAX) })
    }

    /// Answers, on a thread where blocking is fine.
    ///
    /// # Errors
    /// What the answer says; that too many are asking.
    pub async fn ask(self: &Arc<Self>, ask: Ask) -> Result<Value, Failure> {
        let _turn = self.turn(&ask).await?;
        let answers = Arc::clone(&self.answers);
        tokio::task::spawn_blocking(move || answers.answer(ask)).await.unwrap_or_else(|_| {
            Err(Failure::new(
                FailureKind::Failed,
                "the daemon failed at this; its log says more, and `hearth doctor` checks the data folder",
            ))
        })
    }

    async fn turn(&self, ask: &Ask) -> Result<SemaphorePermit<'_>, Failure> {
        let line = if is_long(ask) { &self.long } else { &self.quick };
        match tokio::time::timeout(TURN_MAX, line.acquire()).await {
            Ok(turn) => Ok(turn.expect("the desk never closes its lines")),
            Err(_) => {
                Err(Failure::new(FailureKind::Busy, "the daemon is busy with others' questions; try again in a moment"))
            }
        }
    }
}

/// Orders that may take minutes.
const fn is_long(ask: &Ask) -> bool {
    matches!(
        ask,
        Ask::Index { .. }
            | Ask::Import { .. }
            | Ask::Export { .. }
            | Ask::Rebuild
            | Ask::Doctor
            | Ask::Share { .. }
            | Ask::SearchBatch { .. }
    )
}

/// The socket's router: `POST /v1/ask`.
pub fn orders(desk: Arc<Desk>) -> Router {
    Router::new().route("/v1/ask", post(order)).layer(DefaultBodyLimit::max(ORDER_MAX)).with_state(desk)
}

async fn order(State(desk): State<Arc<Desk>>, ask: Result<Json<Ask>, JsonRejection>) -> Response {
    let Json(ask) = match ask {
        Ok(ask) => ask,
        Err(refused) if refused.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return failed(&Failure::new(FailureKind::Usage, "the order is larger than 8 MiB; split it"));
        }
        // What the client wrote is not repeated: it may be a query.
        Err(_) => {
            return failed(&Failure::new(
                FailureKind::Usage,
                "the daemon does not know this order; restart it so that it and the command are of one version",
            ));
        }
    };
    match desk.ask(ask).await {
        Ok(answer) => Json(answer).into_response(),
        Err(failure) => failed(&failure),
    }
}

/// A failure as a response: its JSON, under the status that fits.
pub(crate) fn failed(failure: &Failure) -> Response {
    (status_of(failure.kind), Json(failure)).into_response()
}

pub(crate) const fn status_of(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        FailureKind::Usage => StatusCode::BAD_REQUEST,
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::Denied => StatusCode::FORBIDDEN,
        FailureKind::Unreachable => StatusCode::BAD_GATEWAY,
        FailureKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Both doors, open and not yet served.
#[derive(Debug)]
pub struct Doors {
    data: PathBuf,
    socket: UnixListener,
    page: TcpListener,
    address: SocketAddr,
    token: Hex32,
}

impl Doors {
    /// Opens the socket in `data` and the page at `listen`. The caller holds the folder's lock, so a socket that lies there is dead.
    ///
    /// # Errors
    /// When a door cannot be opened, with what to do.
    pub async fn open(data: &Path, listen: Loopback) -> Result<Self, Failure> {
        let wrong = |what: &str, error: &io::Error| Failure::new(FailureKind::Failed, format!("{what}: {error}"));
        fs::set_permissions(data, fs::Permissions::from_mode(0o700))
            .map_err(|error| wrong("cannot keep others out of the data folder; it must be yours", &error))?;
        let page = TcpListener::bind(listen.socket()).await.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => Failure::new(
                FailureKind::Failed,
                format!("another program listens at {listen}; name another port with --listen 127.0.0.1:PORT"),
            ),
            _ => wrong(&format!("cannot listen at {listen}"), &error),
        })?;
        let address = page.local_addr().map_err(|error| wrong("cannot tell the page's port", &error))?;
        let token = token(data).map_err(|error| wrong("cannot keep the page's token in the data folder", &error))?;
        let socket = listen_at(data).map_err(|error| wrong("cannot open the socket in the data folder", &error))?;
        replace(data, ADDRESS, address.to_string().as_bytes())
            .map_err(|error| wrong("cannot write into the data folder", &error))?;
        Ok(Self { data: data.to_owned(), socket, page, address, token })
    }

    /// The page's address, without the token.
    pub fn page_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The page's address with the token: whoever has it can search.
    pub fn token_url(&self) -> String {
        format!("http://{}/?token={}", self.address, self.token)
    }

    /// Serves until `stop`, lets what was begun end, and takes the socket away.
    pub async fn serve(self, answers: Arc<dyn Answers>, stop: CancellationToken) {
        let desk = Desk::new(answers);
        let pages = page::router(page::Site::new(Arc::clone(&desk), self.token, self.address.port()));
        let (socket, tcp) = (self.socket, self.page);
        tokio::join!(
            doorman(|| async { Ok(socket.accept().await?.0) }, orders(desk), &stop),
            doorman(|| async { Ok(tcp.accept().await?.0) }, pages, &stop),
        );
        for name in [SOCKET, ADDRESS] {
            if let Err(error) = fs::remove_file(self.data.join(name)) {
                tracing::warn!(kind = ?error.kind(), "could not take a door away");
            }
        }
    }
}

/// Where the running daemon's page is, token included; `None` when no daemon has said so.
pub fn page_of(data: &Path) -> Option<String> {
    let read = |name| fs::read_to_string(data.join(name)).ok();
    let address: SocketAddr = read(ADDRESS)?.trim().parse().ok()?;
    let token: Hex32 = read(TOKEN)?.trim().parse().ok()?;
    Some(format!("http://{address}/?token={token}"))
}

/// Lets callers in, a bounded number at a time, until told to stop.
async fn doorman<S, F>(accept: impl Fn() -> F, router: Router, stop: &CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>>,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX).max_buf_size(64 << 10);
    loop {
        let enter = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("the doorman never closes its places");
            (place, accept().await)
        };
        let (place, stream) = tokio::select! {
            () = stop.cancelled() => break,
            entered = enter => entered,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(kind = ?error.kind(), "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that breaks off is its own business.
            let _ = connection.await;
            drop(place);
        });
    }
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped with connections still open");
    }
}

/// Binds aside and renames, so that the socket is never there with the wrong mode, nor half.
fn listen_at(data: &Path) -> io::Result<UnixListener> {
    let aside = SocketPath::of(data, "hearth.sock.new")?;
    match fs::remove_file(aside.path()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(aside.path())?;
    fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o600))?;
    fs::rename(aside.path(), SocketPath::of(data, SOCKET)?.path())?;
    Ok(listener)
}

/// The page's token, made when there is none. An unreadable one is replaced: nothing depends on it but open browser tabs.
fn token(data: &Path) -> io::Result<Hex32> {
    match fs::read_to_string(data.join(TOKEN)) {
        Ok(text) => {
            if let Ok(token) = text.trim().parse() {
                return Ok(token);
            }
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {}
        Err(error) => return Err(error),
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let token = Hex32::from(bytes);
    replace(data, TOKEN, token.to_string().as_bytes())?;
    Ok(token)
}

/// Writes a file whole or not at all, readable by its owner alone.
fn replace(data: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let aside = data.join(format!("{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, data.join(name))?;
    fs::File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;
    use crate::{
        ask::{Found, Hold, Query, Status},
        cli::fake::{Fake, found},
        client::{Client, reach},
    };

    /// A daemon on a folder, on a thread of its own.
    struct Daemon {
        folder: tempfile::TempDir,
        data: PathBuf,
        stop: CancellationToken,
        page: SocketAddr,
        thread: thread::JoinHandle<()>,
    }

    impl Daemon {
        /// Starts one in a folder below a temporary one; returns when it listens.
        fn start(below: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let data = folder.path().join(below);
            fs::create_dir_all(&data).expect("writable");
            Self::start_in(folder, data)
        }

        fn start_in(folder: tempfile::TempDir, data: PathBuf) -> Self {
            let stop = CancellationToken::new();
            let (opened, ready) = std::sync::mpsc::channel();
            let (at, stopped) = (data.clone(), stop.clone());
            let thread = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                runtime.expect("a runtime for the test").block_on(async {
                    let any = "127.0.0.1:0".parse().expect("a loopback address");
                    let doors = Doors::open(&at, any).await.expect("the doors open");
                    opened.send(doors.address).expect("the test waits");
                    doors.serve(Arc::new(Fake::daemon(stopped.clone())), stopped).await;
                });
            });
            let page = ready.recv().expect("the daemon opened its doors");
            Self { folder, data, stop, page, thread }
        }

        fn client(&self) -> Client {
            Client::connect(&self.data).expect("allowed").expect("someone listens")
        }

        fn end(self) -> (tempfile::TempDir, PathBuf) {
            self.stop.cancel();
            self.thread.join().expect("the daemon ended in good order");
            (self.folder, self.data)
        }
    }

    fn search(text: &str) -> Ask {
        Ask::Search(Query { text: text.into(), limit: 10, ..Query::default() })
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn questions_and_answers_pass_through_the_socket_unchanged() {
        let daemon = Daemon::start("data");
        let client = daemon.client();
        let answer: Found =
            serde_json::from_value(client.answer(search("tomatoes")).expect("an answer")).expect("its form");
        assert_eq!(answer, found());
        let status: Status = serde_json::from_value(client.answer(Ask::Status).expect("an answer")).expect("its form");
        assert!(status.daemon);
        let failure = client.answer(Ask::Show { id: "gone".into() }).expect_err("there is none");
        assert_eq!(failure, Failure::new(FailureKind::NotFound, "there is no such item; `hearth search` shows ids"));
        let failure = client.answer(search("panic")).expect_err("it broke");
        assert_eq!(failure.kind, FailureKind::Failed, "one broken answer does not end the daemon");
        assert!(client.answer(Ask::Status).is_ok());
        assert_eq!(
            [&daemon.data, &daemon.data.join(SOCKET), &daemon.data.join(TOKEN)].map(|path| mode(path)),
            [0o700, 0o600, 0o600]
        );
        let (_folder, data) = daemon.end();
        assert!(!data.join(SOCKET).exists() && !data.join(ADDRESS).exists(), "the doors are gone");
        assert!(data.join(TOKEN).exists(), "the token stays, so that open pages go on");
        assert!(Client::connect(&data).expect("allowed").is_none());
    }

    #[test]
    fn a_folder_may_lie_deeper_than_a_socket_can() {
        let daemon = Daemon::start(&"a-rather-long-name/".repeat(12));
        assert!(daemon.data.as_os_str().len() > 200);
        assert!(daemon.client().answer(Ask::Status).is_ok());
        daemon.end();
    }

    #[test]
    fn a_socket_that_a_dead_daemon_left_is_nobody_and_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let data = folder.path().to_owned();
        drop(std::os::unix::net::UnixListener::bind(data.join(SOCKET)).expect("a socket"));
        assert!(data.join(SOCKET).exists());
        assert!(Client::connect(&data).expect("allowed").is_none());
        let answers = reach(&data, || Ok(Box::new(Fake::default()) as Box<dyn Answers>)).expect("the folder answers");
        let status: Status = serde_json::from_value(answers.answer(Ask::Status).expect("an answer")).expect("its form");
        assert!(!status.daemon, "it was the folder");
        let daemon = Daemon::start_in(folder, data);
        assert!(daemon.client().answer(Ask::Status).is_ok());
        daemon.end();
    }

    #[test]
    fn a_daemon_that_is_starting_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let data = folder.path().to_owned();
        let begin = std::sync::Barrier::new(2);
        thread::scope(|scope| {
            let starting = scope.spawn(|| {
                begin.wait();
                Daemon::start_in(folder, data.clone())
            });
            let tries = std::sync::atomic::AtomicU32::new(0);
            let answers = reach(&data, || {
                // The daemon has the folder; it begins to listen only once somebody has been refused.
                if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                    begin.wait();
                }
                Err(Failure::new(FailureKind::Busy, "taken"))
            })
            .expect("the daemon answers in the end");
            assert!(answers.answer(Ask::Status).is_ok());
            starting.join().expect("it started").end();
        });
    }

    #[test]
    fn an_order_to_stop_ends_it_after_its_answer() {
        let daemon = Daemon::start("data");
        assert!(daemon.client().answer(Ask::Stop).is_ok());
        daemon.thread.join().expect("the daemon ended in good order");
        assert!(Client::connect(&daemon.data).expect("allowed").is_none());
    }

    #[test]
    fn a_new_order_of_another_version_is_refused_without_repeating_it() {
        let daemon = Daemon::start("data");
        let mut socket = std::os::unix::net::UnixStream::connect(daemon.data.join(SOCKET)).expect("it listens");
        let body = "{\"ask\":\"sing\",\"what\":\"a secret song\"}";
        let said = raw(
            &mut socket,
            &format!(
                "POST /v1/ask HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(said.starts_with("HTTP/1.1 400") && said.contains("one version") && !said.contains("song"), "{said}");
        daemon.end();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is the page's visitor")]
    fn the_page_is_served_with_its_token_and_tells_where_it_is() {
        let daemon = Daemon::start("data");
        let url = page_of(&daemon.data).expect("it says where");
        assert!(url.starts_with(&format!("http://{}/?token=", daemon.page)), "{url}");
        let token = url.rsplit('=').next().expect("it has a token").to_owned();
        let ask = |credentials: &str| {
            let mut stream = std::net::TcpStream::connect(daemon.page).expect("it listens");
            raw(
                &mut stream,
                &format!("GET /v1/status HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{credentials}\r\n", daemon.page),
            )
        };
        assert!(ask("").starts_with("HTTP/1.1 401"));
        assert!(ask(&format!("authorization: Bearer {token}\r\n")).starts_with("HTTP/1.1 200"));
        let (folder, data) = daemon.end();
        assert_eq!(page_of(&data), None, "nobody is there any more");
        let daemon = Daemon::start_in(folder, data);
        assert!(page_of(&daemon.data).expect("it says where").ends_with(&token), "the token is kept");
        daemon.end();
    }

    #[test]
    fn a_taken_port_is_said_with_what_to_do() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = taken.local_addr().expect("it is bound").to_string().parse().expect("a loopback address");
        let folder = tempfile::tempdir().expect("a folder for the test");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let failure = runtime.block_on(Doors::open(folder.path(), at)).expect_err("it is taken");
        assert!(failure.message.contains("--listen 127.0.0.1:PORT"), "{failure}");
        assert!(!folder.path().join(SOCKET).exists(), "and no socket is left behind");
    }

    #[test]
    fn an_idle_connection_does_not_keep_it_from_ending() {
        let daemon = Daemon::start("data");
        let idle = std::os::unix::net::UnixStream::connect(daemon.data.join(SOCKET)).expect("it listens");
        assert!(daemon.client().answer(Ask::Hold { how: Hold::Resume, for_ms: None, session: None }).is_ok());
        let begun = Instant::now();
        daemon.end();
        assert!(begun.elapsed() < DRAIN_MAX + Duration::from_secs(20), "it ended while someone still held on");
        drop(idle);
    }

    fn raw(stream: &mut (impl io::Read + io::Write), request: &str) -> String {
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers and closes");
        answer
    }
}
