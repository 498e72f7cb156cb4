//! `[errors]`: an operator's own pages for what cloakroom itself answers.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    diagnostic::Diagnostic,
    value::{TableReader, ValueProblem},
};

/// A page may be this large: it is held in memory.
const MOST: u64 = 256 << 10;

const EXPECTED: &str = "a folder with pages such as 502.html";

/// `[errors]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// `pages`: HTML by status, read when the configuration is. A status without one has the built-in page.
    pages: Vec<(u16, Bytes)>,
}

impl ErrorPages {
    /// The page of a status, if there is one.
    pub fn page(&self, status: u16) -> Option<Bytes> {
        self.pages.iter().find(|(known, _)| *known == status).map(|(_, page)| page.clone())
    }

    /// Reads it, and the pages, which are looked for beside the configuration, in `folder`.
    pub(super) fn read(reader: &TableReader<'_>, folder: &Path) -> Self {
        let named = reader.parsed("pages", EXPECTED, |text| {
            if text.contains('\0') { Err(ValueProblem::VALUE) } else { Ok(text.to_owned()) }
        });
        reader.finish();
        let Some(named) = named.filter(|named| !named.is_empty()) else { return Self::default() };
        let folder = folder.join(named);
        let refuse = |message: String, label: &str| {
            reader.notes().push(reader.error("pages", message, label));
        };
        let mut files = match files(&folder) {
            Ok(files) => files,
            Err(error) => {
                refuse(format!("the folder {} cannot be read: {error}", folder.display()), "looked for here");
                return Self::default();
            }
        };
        // Folders are read in any order, and what is told of them is to be the same each time.
        files.sort();
        let mut pages = Vec::new();
        for file in files {
            match (status(&file), page(&file)) {
                (Some(status), Ok(page)) => pages.push((status, page)),
                (Some(_), Err(why)) => {
                    refuse(format!("{} is no page: {why}", file.display()), "read from here");
                }
                (None, _) => {
                    let message = format!("{} is never shown", file.display());
                    let label = "a page is named by its status, from 400.html to 599.html";
                    reader.notes().push(Diagnostic::warning(message, reader.span("pages"), label));
                }
            }
        }
        if pages.is_empty() {
            let message = format!("there is no page in {}", folder.display());
            let warning = Diagnostic::warning(message, reader.span("pages"), "the built-in pages are shown");
            reader.notes().push(warning.help("a page is named by its status: 502.html, 503.html, 404.html"));
        }
        Self { pages }
    }
}

/// The HTML in a folder. What else lies there is none of ours: nothing but pages is ever served.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "html" || end == "htm") {
            files.push(path);
        }
    }
    Ok(files)
}

/// `502.html`
fn status(file: &Path) -> Option<u16> {
    let name = file.file_name()?.to_str()?.strip_suffix(".html")?;
    name.parse().ok().filter(|status| name.len() == 3 && (400..=599).contains(status))
}

fn page(file: &Path) -> Result<Bytes, String> {
    let mut text = String::new();
    // One byte more than allowed shows that it is too large, without reading all of it.
    let read = fs::File::open(file).and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > MOST => Err("it is larger than 256 KiB".to_owned()),
        Ok(_) if text.trim().is_empty() => Err("it is empty".to_owned()),
        Ok(_) => Ok(Bytes::from(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err("it is not UTF-8".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
