//! Files of a plan on their way to hosts: read once, checked against the checksum that was frozen, then sent. Knows
//! nothing of attempts.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes that follow a request.
#[derive(Debug)]
pub(super) struct Payload {
    source: Source,
    pub length: u64,
    /// Lower-case hex SHA-256.
    pub sha256: String,
}

#[derive(Debug)]
enum Source {
    Text(String),
    File(tokio::fs::File),
}

impl Payload {
    pub(super) fn text(text: String) -> Self {
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        Self { length: text.len() as u64, sha256, source: Source::Text(text) }
    }

    /// Opens a file and reads it to its end once. What is sent later is the file that was checked here, also when
    /// another one takes its name meanwhile; a change inside it is noticed by the host.
    pub(super) async fn file(path: &Path) -> io::Result<Self> {
        let mut file = tokio::fs::File::open(path).await?;
        let (length, sha256) = digest_of(&mut file).await?;
        Ok(Self { source: Source::File(file), length, sha256 })
    }

    /// A directory as a tar archive.
    ///
    /// # Errors
    /// `tar` failed, or there is no place for the archive.
    pub(super) async fn directory(path: &Path) -> io::Result<Self> {
        let archive = tempfile::tempfile()?;
        let done = tokio::process::Command::new("tar")
            .args(["-cf", "-", "-C"])
            .arg(path)
            .arg(".")
            .stdin(std::process::Stdio::null())
            .stdout(archive.try_clone()?)
            .stderr(std::process::Stdio::null())
            .status()
            .await?;
        if !done.success() {
            return Err(io::Error::other(format!("tar: {done}")));
        }
        let mut file = tokio::fs::File::from_std(archive);
        io::Result::Ok(()).and(rewind(&mut file).await)?;
        let (length, sha256) = digest_of(&mut file).await?;
        Ok(Self { source: Source::File(file), length, sha256 })
    }

    /// Whether the content is text that a shell can hold, and then the text.
    pub(super) async fn into_text(self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        match self.source {
            Source::Text(text) => return Ok(Some(text)),
            Source::File(mut file) => file.read_to_end(&mut bytes).await?,
        };
        Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
    }

    /// The first line, at most 255 bytes of it.
    pub(super) async fn first_line(&mut self) -> io::Result<String> {
        let Source::File(file) = &mut self.source else { return Ok(String::new()) };
        let mut start = Vec::new();
        file.take(255).read_to_end(&mut start).await?;
        rewind(file).await?;
        let line = start.split(|b| *b == b'\n').next().unwrap_or_default();
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    pub(super) async fn copy_to(self, to: &mut (dyn AsyncWrite + Send + Unpin)) -> io::Result<()> {
        match self.source {
            Source::Text(text) => to.write_all(text.as_bytes()).await,
            Source::File(file) => {
                // Exactly as many bytes as announced: a file that grew must not become part of the conversation.
                tokio::io::copy(&mut file.take(self.length), to).await.map(|_| ())
            }
        }
    }
}

async fn digest_of(file: &mut tokio::fs::File) -> io::Result<(u64, String)> {
    let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 128 * 1024]);
    loop {
        let n = file.read(&mut buffer).await?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        length += n as u64;
    }
    rewind(file).await?;
    Ok((length, hex(&hash.finalize())))
}

async fn rewind(file: &mut tokio::fs::File) -> io::Result<()> {
    use tokio::io::AsyncSeekExt;
    file.seek(io::SeekFrom::Start(0)).await.map(|_| ())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
