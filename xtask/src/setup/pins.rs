//! Which wheels libtorch is made of, by platform, with their checksums.

use crate::fault;

/// The libtorch that `tch` is built for.
pub const VERSION: &str = "2.13.0";

/// One wheel.
#[derive(Clone, Copy, Debug)]
pub struct Wheel {
    /// Name in the registry.
    pub package: &'static str,
    /// Version in the registry.
    pub version: &'static str,
    /// File name.
    pub file: &'static str,
    /// sha256 of the file, in hexadecimal.
    pub sha256: &'static str,
    /// About how many bytes the file has; for the space check and the progress bar.
    pub bytes: u64,
    /// Which of its members are kept.
    pub keep: Keep,
}

/// Which members of a wheel are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// `torch/include` and these files of `torch/lib`.
    Torch(&'static [&'static str]),
    /// `torch/include`, all of `torch/lib`, and the libraries bundled beside it.
    AllOfTorch,
    /// These files, into `lib`.
    Files(&'static [&'static str]),
}

/// The wheels of a platform.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// pip's names of the platform: one a wheel was built for must be among them.
    pub tags: &'static [&'static str],
    /// The wheels.
    pub wheels: &'static [Wheel],
    /// About how many bytes are kept.
    pub unpacked: u64,
    /// Whether `libtorch.so` has to be made, because the wheel's needs CUDA.
    pub stub: bool,
}

/// The build for x86-64 Linux is one for CUDA: its CPU part needs two small CUDA libraries by name, and nothing of CUDA else.
const LINUX_X86_64: Platform = Platform {
    tags: &["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64"],
    wheels: &[
        Wheel {
            package: "torch",
            version: VERSION,
            file: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
            bytes: 526_574_961,
            keep: Keep::Torch(&["libtorch_cpu.so", "libc10.so", "libgomp.so.1"]),
        },
        Wheel {
            package: "nvidia-cuda-cupti",
            version: "13.0.85",
            file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            bytes: 10_715_597,
            keep: Keep::Files(&["nvidia/cu13/lib/libcupti.so.13"]),
        },
        Wheel {
            package: "nvidia-cuda-runtime",
            version: "13.0.96",
            file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            bytes: 2_243_632,
            keep: Keep::Files(&["nvidia/cu13/lib/libcudart.so.13"]),
        },
    ],
    unpacked: 490_000_000,
    stub: true,
};

const LINUX_ARM64: Platform = Platform {
    tags: &["manylinux_2_28_aarch64"],
    wheels: &[Wheel {
        package: "torch",
        version: VERSION,
        file: "torch-2.13.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        sha256: "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c",
        bytes: 450_000_000,
        keep: Keep::AllOfTorch,
    }],
    unpacked: 900_000_000,
    stub: false,
};

const MACOS_ARM64: Platform = Platform {
    tags: &["macosx_14_0_arm64"],
    wheels: &[Wheel {
        package: "torch",
        version: VERSION,
        file: "torch-2.13.0-cp311-cp311-macosx_14_0_arm64.whl",
        sha256: "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8",
        bytes: 90_000_000,
        keep: Keep::AllOfTorch,
    }],
    unpacked: 350_000_000,
    stub: false,
};

/// The wheels for the machine this program runs on.
pub fn platform() -> anyhow::Result<Platform> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok(LINUX_X86_64),
        ("linux", "aarch64") => Ok(LINUX_ARM64),
        ("macos", "aarch64") => Ok(MACOS_ARM64),
        (os, arch) => Err(fault::setup(format!(
            "no libtorch is pinned for {os} on {arch}: install PyTorch {VERSION} and set LIBTORCH_USE_PYTORCH=1, or set LIBTORCH to \
             the folder of a libtorch {VERSION}; without libtorch, `cargo test` works as it is"
        ))),
    }
}

/// The file name of a shared library on this system.
pub fn shared(stem: &str) -> String {
    format!("{stem}{}", std::env::consts::DLL_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_well_formed() {
        for platform in [LINUX_X86_64, LINUX_ARM64, MACOS_ARM64] {
            for wheel in platform.wheels {
                assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
                assert!(wheel.file.starts_with(&format!("{}-{}-", wheel.package.replace('-', "_"), wheel.version)));
                assert!(platform.tags.iter().any(|tag| wheel.file.contains(tag)), "{}", wheel.file);
            }
        }
    }
}
