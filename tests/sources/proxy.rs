//! Stands between a source and the real API server, to do what networks and busy servers do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use http::{Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What to do to requests whose path contains a text.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Answer so many of them with this status and header instead.
    Answer { path: &'static str, status: u16, header: &'static str, times: usize },
    /// Cut so many answers off after so many bytes.
    Cut { path: &'static str, after: usize, times: usize },
    /// Put another text in place of one, in so many answers.
    Replace { path: &'static str, from: &'static str, to: &'static str, times: usize },
}

impl Fault {
    /// Whether the fault is due for a request; counts it.
    fn strikes(&mut self, requested: &str) -> bool {
        let (Self::Answer { path, times, .. }
        | Self::Cut { path, times, .. }
        | Self::Replace { path, times, .. }) = self;
        if *times == 0 || !requested.contains(*path) {
            return false;
        }
        *times -= 1;
        true
    }
}

struct State {
    server: Client,
    down: bool,
    faults: Vec<Fault>,
    stalled: &'static [&'static str],
    waiting: usize,
    requests: Vec<String>,
}

/// A server on a port of its own, which passes requests on.
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) client: Client,
    state: Arc<Mutex<State>>,
    kick: watch::Sender<()>,
}

impl Proxy {
    /// Passes requests on with `server`.
    pub(crate) async fn start(server: &Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = kube::Config::new(url.parse().unwrap());
        // As the program's own client.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let state = State {
            server: server.clone(),
            down: false,
            faults: Vec::new(),
            stalled: &[],
            waiting: 0,
            requests: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let kick = watch::Sender::new(());
        let (shared, kicked) = (Arc::clone(&state), kick.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = {
                    let state = shared.lock().unwrap();
                    if state.down {
                        continue;
                    }
                    state.server.clone()
                };
                let (state, mut kicked) = (Arc::clone(&shared), kicked.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        // A connection that breaks is what this is for.
                        _ = pass_on(stream, &server, &state) => {}
                        _ = kicked.changed() => {}
                    }
                });
            }
        });
        Self { url, client, state, kick }
    }

    /// Breaks all connections, and takes no new ones while it is down.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
        self.kick.send_replace(());
    }

    /// Passes requests on to another server from now on.
    pub(crate) fn set_server(&self, server: &Client) {
        self.state.lock().unwrap().server = server.clone();
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push(fault);
    }

    /// Keeps requests whose first line contains one of these, until there are others in their place.
    pub(crate) fn stall(&self, parts: &'static [&'static str]) {
        self.state.lock().unwrap().stalled = parts;
    }

    /// How many requests are kept.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    /// Passes everything on from now on.
    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().faults.clear();
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// Counts a request that is kept.
struct Kept<'a>(&'a Mutex<State>);

impl<'a> Kept<'a> {
    fn new(state: &'a Mutex<State>) -> Self {
        state.lock().unwrap().waiting += 1;
        Self(state)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().waiting -= 1;
    }
}

async fn pass_on(stream: TcpStream, server: &Client, state: &Mutex<State>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut content_type) = (0, None);
    let mut line = String::new();
    while stream.read_line(&mut line).await.ok()? > 2 {
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                content_type = Some(value.to_owned());
            }
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let stalled = || state.lock().unwrap().stalled.iter().any(|part| first.contains(part));
    if stalled() {
        let _kept = Kept::new(state);
        while stalled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let fault = {
        let mut state = state.lock().unwrap();
        state.requests.push(path.clone());
        state.faults.iter_mut().find_map(|fault| fault.strikes(&path).then(|| fault.clone()))
    };
    if let Some(Fault::Answer { status, header, .. }) = &fault {
        let answer =
            format!("HTTP/1.1 {status} no\r\n{header}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return stream.write_all(answer.as_bytes()).await.ok();
    }
    let mut request = Request::builder()
        .method(first.split(' ').next()?)
        .uri(&path)
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "identity");
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let request = request.body(Body::from(body)).ok()?;
    let response = server.send(request).await.ok()?;
    let head = format!(
        "HTTP/1.1 {} x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        response.status().as_u16()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut body = response.into_body().into_data_stream();
    let mut sent = 0;
    while let Some(piece) = body.next().await {
        let mut piece = piece.ok()?.to_vec();
        if let Some(Fault::Replace { from, to, .. }) = &fault {
            piece = String::from_utf8(piece).ok()?.replace(from, to).into_bytes();
        }
        let cut = matches!(&fault, Some(Fault::Cut { after, .. }) if sent + piece.len() > *after);
        if let (true, Some(Fault::Cut { after, .. })) = (cut, &fault) {
            piece.truncate(after - sent);
        }
        sent += piece.len();
        if !piece.is_empty() {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.ok()?;
            stream.write_all(&piece).await.ok()?;
            stream.write_all(b"\r\n").await.ok()?;
            stream.flush().await.ok()?;
        }
        if cut {
            return None;
        }
    }
    stream.write_all(b"0\r\n\r\n").await.ok()
}
