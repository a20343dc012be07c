//! A web server that does what it is told: right, and wrong in many ways.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Act {
    Right,
    /// Announces all of the body and closes after so many bytes of it.
    Drop(usize),
    /// Says nothing more after so many bytes.
    Stall(usize),
    /// Sends the body in pieces of so many bytes, with pauses.
    Drip(usize),
    /// Answers with this status and these headers.
    Status(&'static str, String),
    /// Changes a byte of the body.
    Tamper(usize),
    /// Leaves off the end of the body, and says nothing of it.
    Shorten(usize),
    /// Names another range than that of the body.
    WrongRange,
    /// Answers a request for a range with the whole.
    NoRanges,
    /// Compresses the body.
    Gzip,
    /// Never ends.
    Endless,
    /// Closes at once.
    Nothing,
    /// What is no HTTP.
    Garbage,
}

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub path: String,
    pub range: Option<(usize, Option<usize>)>,
    pub if_range: Option<String>,
    pub if_none_match: Option<String>,
    pub gzip: bool,
}

#[derive(Debug, Default)]
struct State {
    tree: PathBuf,
    /// What to do with the next requests for segments, and for the manifest.
    segments: VecDeque<Act>,
    manifests: VecDeque<Act>,
    /// What to do with those for segments after them.
    then: Option<Act>,
    asked: Vec<Asked>,
}

pub struct Server {
    state: Arc<Mutex<State>>,
    pub port: u16,
}

impl Server {
    pub fn of(tree: impl Into<PathBuf>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { tree: tree.into(), ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, state) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || {
                    // Whoever asked may have gone.
                    let _ = serve(stream, &state);
                });
            }
        });
        Self { state, port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// What to do with the next requests for segments.
    pub fn next(&self, acts: impl IntoIterator<Item = Act>) {
        let mut state = self.state.lock().unwrap();
        state.segments = acts.into_iter().collect();
        state.then = None;
    }

    pub fn always(&self, act: Act) {
        let mut state = self.state.lock().unwrap();
        state.segments.clear();
        state.then = Some(act);
    }

    pub fn next_manifests(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.lock().unwrap().manifests = acts.into_iter().collect();
    }

    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn read(stream: &TcpStream) -> std::io::Result<Asked> {
    let mut asked = Asked::default();
    for (number, line) in BufReader::new(stream).lines().enumerate() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if number == 0 {
            asked.path = line.split(' ').nth(1).unwrap().to_owned();
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (from, to) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                asked.range = Some((from.parse().unwrap(), to.parse().ok()));
            }
            "if-range" => asked.if_range = Some(value.to_owned()),
            "if-none-match" => asked.if_none_match = Some(value.to_owned()),
            "accept-encoding" => asked.gzip = value.contains("gzip"),
            _ => {}
        }
    }
    Ok(asked)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let asked = read(&stream)?;
    let (act, file) = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        let act = match asked.path.contains("/log/") {
            true => state.segments.pop_front().or_else(|| state.then.clone()),
            false => state.manifests.pop_front(),
        };
        let path = asked.path.trim_start_matches("/moved").trim_start_matches('/');
        (act.unwrap_or(Act::Right), std::fs::read(state.tree.join(path)))
    };
    let Ok(mut body) = file else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        );
    };
    let tag = format!("\"{:x}-{}\"", body.len(), body.iter().map(|it| u64::from(*it)).sum::<u64>());
    if asked.if_none_match.as_deref() == Some(&tag) {
        return write!(stream, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    }
    let mut head = "HTTP/1.1 200 OK\r\n".to_owned();
    let whole = body.len();
    let fits = asked.if_range.as_ref().is_none_or(|known| *known == tag);
    if let Some((from, to)) = asked.range
        && fits
        && !matches!(act, Act::NoRanges)
    {
        let to = to.map_or(whole, |to| whole.min(to + 1));
        body = body[from..to].to_vec();
        let shift = usize::from(matches!(act, Act::WrongRange));
        head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{whole}\r\n",
            from + shift,
            to - 1 + shift
        );
    }
    head += &format!("ETag: {tag}\r\nConnection: close\r\n");
    let pause = || std::thread::sleep(Duration::from_millis(20));
    match act {
        Act::Nothing => return Ok(()),
        Act::Garbage => return stream.write_all(b"220 smtp.example.org\r\n\r\n"),
        Act::Status(status, headers) => {
            return write!(
                stream,
                "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n"
            );
        }
        Act::Tamper(at) => {
            let at = at % body.len();
            body[at] ^= 1;
        }
        Act::Shorten(by) => body.truncate(body.len().saturating_sub(by)),
        Act::Gzip if asked.gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&body)?;
            body = encoder.finish()?;
            head += "Content-Encoding: gzip\r\n";
        }
        Act::Endless => {
            write!(stream, "{head}\r\n")?;
            loop {
                stream.write_all(&body)?;
            }
        }
        _ => {}
    }
    write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len())?;
    match act {
        Act::Drop(after) => stream.write_all(&body[..after.min(body.len())]),
        Act::Stall(after) => {
            stream.write_all(&body[..after.min(body.len())])?;
            std::thread::sleep(Duration::from_secs(5));
            Ok(())
        }
        Act::Drip(size) => body.chunks(size).try_for_each(|piece| {
            pause();
            stream.write_all(piece)
        }),
        _ => stream.write_all(&body),
    }
}
