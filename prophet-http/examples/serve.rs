//! Serves a replica over HTTP until it is interrupted.
//!
//! ```text
//! cargo run -p prophet-http --features server --example serve -- [DATABASE.sqlite]
//! ```
//!
//! Without a file the replica is in memory. These variables of the environment say more: `LISTEN`,
//! the address, else `127.0.0.1:8008`; `TOKEN`, by which writing is allowed, else everybody on this
//! machine may write; `TREE`, a directory that a published tree is kept in.

use std::error::Error;
use std::path::Path;

use backend_sqlite::SqliteStore;
use prophet_http::server::{ServerOptions, Token, serve};
use prophet_store::{Identity, MemoryStore, Replica};
use tokio::net::TcpListener;

async fn open(file: Option<&str>) -> Result<Replica, Box<dyn Error>> {
    Ok(match file {
        Some(file) if Path::new(file).exists() => Replica::open(SqliteStore::open(file)?).await?,
        Some(file) => Replica::open(SqliteStore::create(file, Identity::new_database()?)?).await?,
        None => Replica::open(MemoryStore::new(Identity::new_database()?)).await?,
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let replica = open(std::env::args().nth(1).as_deref()).await?;
    let mut options = match std::env::var("TOKEN") {
        Ok(secret) => ServerOptions::new().token(Token::new(&secret)?),
        Err(_) => ServerOptions::new().open(),
    };
    if let Ok(directory) = std::env::var("TREE") {
        options = options.tree(directory);
    }
    let listen = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8008".to_owned());
    let listener = TcpListener::bind(&listen).await?;
    println!("serving on http://{}/", listener.local_addr()?);
    let interrupted = async {
        // Where the system has no such signal, it ends the process.
        let _ = tokio::signal::ctrl_c().await;
    };
    serve(listener, replica.clone(), options, interrupted).await?;
    replica.close().await?;
    Ok(())
}
