//! `prophet serve`: the one place that calls the server.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;

use clap::Args;

use crate::Result;
use crate::context::{Context, Session};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::replica::local;

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
It listens on this machine alone unless --bind says otherwise. Others pull from http://HOST:8008, and \
push to it, unless it is --read-only.")]
pub(crate) struct ServeArgs {
    /// The port.
    #[arg(long, default_value_t = 8008)]
    port: u16,
    /// The address to listen on; 0.0.0.0 is all of them.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
    /// Opens it in a browser.
    #[arg(long)]
    open: bool,
    /// The file with the token that whoever writes has to send.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Nobody may write.
    #[arg(long)]
    read_only: bool,
    /// Tells the local network, so that `prophet pull --local` finds it.
    #[arg(long)]
    announce: bool,
}

/// The address that is listened on, and what runs until it is ended.
type Listening = (SocketAddr, Pin<Box<dyn Future<Output = Result<()>> + Send>>);

impl ServeArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let session = context.session().await?;
        let token = self.token()?;
        let (address, running) = self.listen(&session, token).await?;
        let url = format!("http://{address}");
        context.output.note(&format!("serving {} at {url}", session.located.place));
        let announced = match self.announce {
            true => Some(self.announce(&session, address, context.output)?),
            false => None,
        };
        if self.open
            && let Err(error) = open::that_detached(&url)
        {
            context.output.note(&format!("no browser could be opened: {error}"));
        }
        running.await?;
        drop(announced);
        Ok(Exit::Done)
    }

    fn token(&self) -> Result<Option<String>> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::io("read", file.display(), &error))?;
        match text.trim() {
            "" => Err(Failure::failed(format!("{} has no token in it", file.display()))),
            token => Ok(Some(token.to_owned())),
        }
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

    /// Begins to listen.
    async fn listen(&self, session: &Session, token: Option<String>) -> Result<Listening> {
        let _ = token;
        Err(Failure::failed(format!(
            "serving {} is not in this build; publish it (`prophet publish`) and let any web server \
             serve the directory",
            session.located.place
        )))
    }
}
