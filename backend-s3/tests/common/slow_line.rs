//! A line to a server that carries a number of bytes a second each way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Connections to it go on to a server, slowly; it lasts as long as the process.
pub(crate) struct SlowLine(SocketAddr);

/// So many pieces a second.
const PIECES: usize = 20;

impl SlowLine {
    pub(crate) fn start(server: &str, bytes_a_second: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, server) = (listener.local_addr()?, server.to_owned());
        std::thread::spawn(move || {
            for here in listener.incoming() {
                let (Ok(here), Ok(there)) = (here, TcpStream::connect(&server)) else { return };
                let (Ok(back), Ok(from)) = (here.try_clone(), there.try_clone()) else { return };
                std::thread::spawn(move || carry(here, there, bytes_a_second));
                std::thread::spawn(move || carry(from, back, bytes_a_second));
            }
        });
        Ok(Self(address))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.0
    }
}

/// Until either end is closed.
fn carry(mut from: TcpStream, mut to: TcpStream, bytes_a_second: usize) {
    let mut piece = vec![0; bytes_a_second / PIECES];
    while let Ok(len @ 1..) = from.read(&mut piece) {
        if piece.get(..len).is_none_or(|piece| to.write_all(piece).is_err()) {
            break;
        }
        if len * PIECES > 1_000 {
            std::thread::sleep(Duration::from_secs(1) / PIECES as u32);
        }
    }
    // Either may be closed already.
    let _ = to.shutdown(std::net::Shutdown::Write);
}
