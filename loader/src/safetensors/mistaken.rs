//! Files that people give in place of a safetensors file, recognised by their first bytes, and what to do
//! then.

use crate::FileKind;

/// What the file is, and what to do; `None` for bytes of no known kind.
pub(super) fn mistaken(first: &[u8; 8]) -> Option<(&'static str, &'static str)> {
    let starts = |signature: &[u8]| first.starts_with(signature);
    let text = first.trim_ascii_start();
    // ZIP, or pickle of protocol 2 to 5, which begins with its number.
    if starts(b"PK\x03\x04") || matches!(first, [0x80, 2..=5, ..]) {
        Some((
            "a PyTorch file (.pth, .pt or .bin)",
            "such files can run code when they are loaded, so this program does not read them. Convert it: \
             python -c \"import torch; from safetensors.torch import save_file; \
             state = torch.load('FILE.pth', map_location='cpu', weights_only=True); \
             state = state.get('state_dict', state.get('model', state)); \
             save_file({name: t.contiguous() for name, t in state.items()}, 'FILE.safetensors')\"",
        ))
    } else if starts(b"version ") {
        Some((
            "a Git LFS pointer to a file that was not downloaded",
            "run `git lfs pull` in its repository, or download the file itself",
        ))
    } else if text.starts_with(b"<") {
        Some((
            "a web page",
            "the download gave a web page instead of the file: use the download link of the file itself, \
             or hf:owner/name",
        ))
    } else if FileKind::is_image(first) {
        Some(("a photo", PHOTOS))
    } else if starts(b"GGUF") {
        Some(("a GGUF file of a language model", WEIGHTS))
    } else if starts(b"\x89HDF") {
        Some(("an HDF5 file of Keras", WEIGHTS))
    } else if text.starts_with(b"{") || text.starts_with(b"[") {
        Some(("JSON, such as a config.json", "give the model.safetensors beside it, or their folder"))
    } else {
        None
    }
}

/// What to do with photos given instead of weights.
pub const PHOTOS: &str = "the model comes first and the photos after it: frostline predict MODEL PHOTO…";
const WEIGHTS: &str = "give weights of a ResNet or an EfficientNet-Lite0 in a safetensors file";
