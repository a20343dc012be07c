//! `prophet serve`: the one place that calls the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prophet_http::server::{ServerOptions, Token, serve};
use prophet_store::{Environment as _, SystemEnvironment};
use tokio::net::TcpListener;
use tokio::runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::Result;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::replica::local;
use crate::replica::web::TOKEN;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
It listens on this machine alone unless --bind says otherwise. Everybody who reaches it may read, and pull \
from http://HOST:8008, unless it is --private. Whoever writes or pushes has to show a token: their prophet takes it from \
PROPHET_TOKEN, and sends it to every server that is named by a URL or as a peer, but to none that was found \
with `pull --local`. A new one is made and shown at each start, unless --token-file, --open or --read-only is \
given. It ends at Ctrl-C and SIGTERM, and answers what is under way first.

Its log goes to stderr, an event a line: each request with what it was answered, and what goes wrong. With \
--quiet it is only what goes wrong.

http://HOST:8008/openapi.json describes what other programs can ask of it.")]
pub(crate) struct ServeArgs {
    /// The port; 0 is any that is free.
    #[arg(long, default_value_t = 8008)]
    port: u16,
    /// The address to listen on; 0.0.0.0 is all of them.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
    /// Everybody may write, without a token.
    #[arg(long, conflicts_with_all = ["token_file", "read_only"])]
    open: bool,
    /// The file with the token that whoever writes has to show.
    #[arg(long, value_name = "FILE", conflicts_with = "read_only")]
    token_file: Option<PathBuf>,
    /// Nobody may write.
    #[arg(long)]
    read_only: bool,
    /// Who reads has to show the token, too.
    #[arg(long, conflicts_with_all = ["open", "read_only"])]
    private: bool,
    /// How many requests a second each client may make.
    #[arg(long, value_name = "REQUESTS")]
    rate: Option<NonZeroU32>,
    /// Pages of this site may call the API: scheme, host and perhaps port; can be given again.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A name that the server goes by, such as that of the proxy in front of it; can be given again.
    /// While it listens on this machine alone, it answers to no other names but localhost.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Who only can fetch files pulls from /replica/; what is there is kept in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    tree: Option<PathBuf>,
    /// Tells the local network, so that `prophet pull --local` finds it.
    #[arg(long)]
    announce: bool,
    /// How the log is written.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    log: Log,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Log {
    /// For people.
    Text,
    /// An object a line, for programs.
    Json,
    /// Not at all.
    Off,
}

impl Log {
    /// From here on, what the server tells goes to stderr.
    fn begin(self, output: Output) {
        let most = match output.is_quiet() {
            true => LevelFilter::WARN,
            false => LevelFilter::INFO,
        };
        // Where nobody reads it any more, that is no reason to stop serving.
        let lines = tracing_subscriber::fmt()
            .with_max_level(most)
            .with_writer(io::stderr)
            .with_ansi(false)
            .log_internal_errors(false);
        match self {
            Self::Text => lines.init(),
            Self::Json => lines.json().flatten_event(true).init(),
            Self::Off => {}
        }
    }
}

impl ServeArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let options = self.options(context.output)?;
        let cannot = |what: &str, error: &io::Error| {
            Failure::new(Exit::TryAgain, format!("{what}: {error}"))
        };
        let runtime = runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| cannot("the system gives no threads", &error))?;
        runtime.block_on(async {
            let address = SocketAddr::new(self.bind, self.port);
            let listener = TcpListener::bind(address).await.map_err(|error| {
                cannot(&format!("{address} cannot be listened on (--port, --bind)"), &error)
            })?;
            let address = listener.local_addr()?;
            let announced = match self.announce {
                true => Some(self.announce(&session, address, context.output)?),
                false => None,
            };
            context.output.note(&format!("serving {} at http://{address}/", session.located.place));
            self.log.begin(context.output);
            serve(listener, session.replica.clone(), options, asked_to_end())
                .await
                .map_err(|error| cannot("no more connections are accepted", &error))?;
            drop(announced);
            session.replica.close().await?;
            Ok(Exit::Done)
        })
    }

    fn options(&self, output: Output) -> Result<ServerOptions> {
        let mut options = ServerOptions::new();
        if self.private {
            options = options.private();
        }
        if let Some(rate) = self.rate {
            options = options.rate(rate);
        }
        for origin in &self.origin {
            let allowed = options.allow_origin(origin);
            options = allowed.map_err(|error| Failure::usage(error.to_string()))?;
        }
        for host in &self.host {
            if host.contains('/') {
                return Err(Failure::usage(format!(
                    "--host {host} is no name; write it without scheme and path, such as example.org"
                )));
            }
            options = options.host(host);
        }
        if let Some(directory) = &self.tree {
            std::fs::create_dir_all(directory)
                .map_err(|error| Failure::io("used for --tree", directory.display(), &error))?;
            options = options.tree(directory);
        }
        if self.read_only {
            return Ok(options.read_only());
        }
        if self.open {
            return Ok(options.open());
        }
        let secret = match &self.token_file {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Failure::io("read", file.display(), &error))?;
                match text.trim() {
                    "" => {
                        return Err(Failure::failed(format!(
                            "{} has no token in it",
                            file.display()
                        )));
                    }
                    token => token.to_owned(),
                }
            }
            None => {
                let secret = random()?;
                output.note(&format!("whoever writes has to show {TOKEN}={secret}"));
                secret
            }
        };
        let token = Token::new(&secret).map_err(|error| Failure::failed(error.to_string()))?;
        Ok(options.token(token))
    }

    fn announce(
        &self,
        session: &Session,
        address: SocketAddr,
        output: Output,
    ) -> Result<local::Announcement> {
        if self.bind.is_loopback() {
            output.note("only programs on this machine can reach it; --bind 0.0.0.0 lets others");
        }
        let identity = session.replica.store().facts().identity;
        local::announce(&identity.replica.to_string(), address, identity.database)
    }
}

/// Until somebody at the terminal, or whoever supervises the process, wants it to end.
async fn asked_to_end() {
    // Where the system has no such signal, it ends the process.
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            let interrupted = async {
                let _ = interrupted.await;
            };
            let terminated = async {
                let _ = terminated.recv().await;
            };
            return futures_lite::future::or(interrupted, terminated).await;
        }
    }
    let _ = interrupted.await;
}

/// A secret that nobody guesses.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    SystemEnvironment::default()
        .random(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
