//! What is between a client and a server: a meter, and a line on which everything goes wrong.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Counts what goes to a server and what comes back.
pub struct Meter {
    pub port: u16,
    counts: Arc<[AtomicU64; 3]>,
}

impl Meter {
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts: Arc<[AtomicU64; 3]> = Arc::default();
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, counted) = (client.unwrap(), Arc::clone(&counted));
                counted[0].fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let ways = [
                    (client.try_clone().unwrap(), server.try_clone().unwrap(), 1),
                    (server, client, 2),
                ];
                for (from, to, way) in ways {
                    let counted = Arc::clone(&counted);
                    std::thread::spawn(move || copy(from, to, &counted[way]));
                }
            }
        });
        Self { port, counts }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Connections, bytes up and bytes down since it was asked last.
    pub fn take(&self) -> [u64; 3] {
        // The last bytes may still be on their way through a thread.
        std::thread::sleep(Duration::from_millis(50));
        [0, 1, 2].map(|at: usize| self.counts[at].swap(0, Ordering::Relaxed))
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Either may be gone.
    let _ = to.shutdown(Shutdown::Write);
}

/// What to do with a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Right,
    /// Later.
    Delayed,
    /// It never reaches the server.
    Dropped,
    /// The server gets the beginning of it, to so many thousandths.
    RequestCut(usize),
    /// The server gets it, and the client no answer.
    AnswerDropped,
    /// The client gets so many bytes of the answer.
    AnswerCut(usize),
    /// The client gets the answer, to so many thousandths.
    AnswerCutAt(usize),
    /// The server gets it twice, one after the other.
    Repeated,
    /// The client gets no answer, and the server the request when it may have got it again already.
    Late,
    /// A byte of the body of the answer is another one, at so many thousandths of it.
    Tampered(usize),
    /// It is not this server that answers.
    Status(&'static str),
}

/// A line on which things go wrong, each request by a fate of its own.
pub struct Proxy {
    pub port: u16,
    ended: Arc<AtomicBool>,
    pub asked: Arc<AtomicU64>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Small numbers by chance, the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

impl Proxy {
    /// Gives requests these fates, one after the other, and after that none.
    pub fn with(server: u16, fates: impl IntoIterator<Item = Fate>) -> Self {
        let mut fates: std::collections::VecDeque<_> = fates.into_iter().collect();
        Self::by(server, move || fates.pop_front().unwrap_or(Fate::Right))
    }

    /// Lets two of five requests go wrong in one way or another.
    pub fn flawed(server: u16, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self::by(server, move || match chance.below(20) {
            0 => Fate::Dropped,
            1 => Fate::RequestCut(chance.below(1_000) as usize),
            2 => Fate::AnswerDropped,
            3 => Fate::AnswerCutAt(chance.below(1_000) as usize),
            4 => Fate::Repeated,
            5 => Fate::Late,
            6 => Fate::Delayed,
            7 => Fate::Status("502 Bad Gateway"),
            _ => Fate::Right,
        })
    }

    fn by(server: u16, mut fate: impl FnMut() -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (ended, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, counted) = (Arc::clone(&ended), Arc::clone(&asked));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { return };
                counted.fetch_add(1, Ordering::Relaxed);
                let fate = fate();
                // Whoever asked may have gone.
                std::thread::spawn(move || drop(pass(client, server, fate)));
            }
        });
        Self { port, ended, asked }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

fn pass(mut client: TcpStream, server: u16, fate: Fate) -> io::Result<()> {
    client.set_nodelay(true)?;
    let request = read_request(&mut client)?;
    match fate {
        Fate::Right => client.write_all(&ask(server, &request)?),
        Fate::Delayed => {
            std::thread::sleep(Duration::from_millis(20));
            client.write_all(&ask(server, &request)?)
        }
        Fate::Dropped => Ok(()),
        Fate::RequestCut(thousandths) => {
            let mut to = TcpStream::connect(("127.0.0.1", server))?;
            to.write_all(&request[..request.len() * thousandths / 1_000])
        }
        Fate::AnswerDropped => ask(server, &request).map(drop),
        Fate::AnswerCut(bytes) => {
            let answer = ask(server, &request)?;
            client.write_all(&answer[..bytes.min(answer.len())])
        }
        Fate::AnswerCutAt(thousandths) => {
            let answer = ask(server, &request)?;
            client.write_all(&answer[..answer.len() * thousandths / 1_000])
        }
        Fate::Repeated => {
            ask(server, &request)?;
            client.write_all(&ask(server, &request)?)
        }
        Fate::Late => {
            drop(client);
            std::thread::sleep(Duration::from_millis(15));
            ask(server, &request).map(drop)
        }
        Fate::Tampered(thousandths) => {
            let mut answer = ask(server, &request)?;
            let body = find(&answer, b"\r\n\r\n").map_or(0, |at| at + 4);
            let at = body + (answer.len() - body) * thousandths / 1_000;
            if let Some(byte) = answer.get_mut(at) {
                *byte ^= 0x20;
            }
            client.write_all(&answer)
        }
        Fate::Status(status) => {
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops");
            client.write_all(answer.as_bytes())
        }
    }
}

/// Sends a request, and reads the answer until the server closes.
fn ask(server: u16, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut to = TcpStream::connect(("127.0.0.1", server))?;
    to.set_nodelay(true)?;
    to.write_all(request)?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer)?;
    Ok(answer)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A request, body and all, which asks for the connection to be closed after it.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let mut more = |request: &mut Vec<u8>| -> io::Result<()> {
        match client.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                request.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    };
    let head = loop {
        match find(&request, b"\r\n\r\n") {
            Some(at) => break at + 4,
            None => more(&mut request)?,
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    if let Some(length) = length.and_then(|length| length.trim().parse::<usize>().ok()) {
        while request.len() < head + length {
            more(&mut request)?;
        }
    } else if text.contains("transfer-encoding: chunked") {
        while !request.ends_with(b"0\r\n\r\n") {
            more(&mut request)?;
        }
    }
    request.splice(head - 2..head - 2, *b"connection: close\r\n");
    Ok(request)
}

/// Seeds, one after the other, from the environment variable `PROPHET_PROXY_SEED` on.
pub fn next_seed() -> u64 {
    static NEXT: Mutex<Option<u64>> = Mutex::new(None);
    let mut next = NEXT.lock().unwrap();
    let first = || {
        let seed = std::env::var("PROPHET_PROXY_SEED").ok();
        seed.map_or(1, |seed| seed.parse().unwrap())
    };
    let seed = next.unwrap_or_else(first);
    *next = Some(seed + 1);
    eprintln!("the proxy's seed is {seed}: PROPHET_PROXY_SEED={seed} begins with it");
    seed
}
