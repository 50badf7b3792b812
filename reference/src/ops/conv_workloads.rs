//! Workloads of `conv2d`: the [layers of networks](super::conv_networks) at one image, some of them at more and by pixels,
//! single layers of other networks, and a study.

use super::conv_networks::LAYERS;
use crate::Workload;

const BENCHDNN: &str = "oneDNN benchdnn, conv shapes";
const TORCHBENCH: &str = "TorchBench operator logs";
const STUDY: &str = "own: error of Winograd over channels";
/// Batches by pixels, groups, a folded scale and a stride together, which the layers of networks do not have.
const COMPOSED: &str = "composed for the suite";
const DEEPBENCH: &str = "DeepBench, convolution";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Every workload of the forward operator.
pub(super) const FORWARD: &[Workload] = &joined::<{ LAYERS.len() + OTHERS.len() }>(LAYERS, OTHERS);

/// The two lists in one; `N` is the sum of their lengths.
const fn joined<const N: usize>(first: &[Workload], second: &[Workload]) -> [Workload; N] {
    let mut all = [first[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < first.len() { first[i] } else { second[i - first.len()] };
        i += 1;
    }
    all
}

const OTHERS: &[Workload] = &[
    w("alexnet_2012.conv1", "c=3,h=227,w=227,k=96,r=11,s=11,sh=4,sw=4", BENCHDNN),
    w("alexnet_2012.conv2", "c=48,h=27,w=27,k=128,r=5,s=5,g=2,pt=2,pl=2,pb=2,pr=2", BENCHDNN),
    w("alexnet_2012.conv3", "c=256,h=13,w=13,k=384,r=3,s=3,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("alexnet_2012.conv4", "c=192,h=13,w=13,k=192,r=3,s=3,g=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("alexnet_2012.conv5", "c=192,h=13,w=13,k=128,r=3,s=3,g=2,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("mobilenet_v2.dw_s2", "c=1,h=112,w=112,k=1,r=3,s=3,g=96,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("mobilenet_v2.expand_24_144", "c=24,h=56,w=56,k=144", TORCHBENCH),
    w("mobilenet_v2.project_144_24", "c=144,h=56,w=56,k=24", TORCHBENCH),
    w("mobilenet_v2.dw960", "c=1,h=7,w=7,k=1,r=3,s=3,g=960,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("mobilenet_v2.last_320_1280", "c=320,h=7,w=7,k=1280", TORCHBENCH),
    w("deepspeech.conv1", "c=1,h=161,w=700,k=32,r=5,s=20,sh=2,sw=2", DEEPBENCH),
    w("deepspeech.conv2", "c=32,h=79,w=341,k=32,r=5,s=10,sh=2,sw=2", DEEPBENCH),
    w("deepbench.face_54x54", "c=64,h=54,w=54,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", DEEPBENCH),
    w("vit_b16.patch_embed", "c=3,h=224,w=224,k=768,r=16,s=16,sh=16,sw=16", BENCHDNN),
    w("resnet50.res2x_2b_n4", "n=4,c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res2x_2b_n16", "n=16,c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res2x_2b_nhwc", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("resnet50.res4b_2b_n4", "n=4,c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4b_2b_n16", "n=16,c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4b_2b_nhwc", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("resnet50.res4x_2c_n4", "n=4,c=256,h=14,w=14,k=1024", TORCHBENCH),
    w("resnet50.res4x_2c_n16", "n=16,c=256,h=14,w=14,k=1024", TORCHBENCH),
    w("resnet50.res4x_2c_nhwc", "c=256,h=14,w=14,k=1024,layout=nhwc", TORCHBENCH),
    w("resnet50.res5b_2b_n4", "n=4,c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res5b_2b_n16", "n=16,c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res5b_2b_nhwc", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("mobilenet_v1.dw5_1_n4", "n=4,c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("mobilenet_v1.dw5_1_n16", "n=16,c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", BENCHDNN),
    w("mobilenet_v1.dw5_1_nhwc", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1,layout=nhwc", BENCHDNN),
    w(
        "composed.n5_nhwc_g3_scaled",
        "n=5,c=20,h=19,w=21,k=24,r=3,s=3,g=3,sh=2,pt=1,pl=1,pb=1,layout=nhwc,bias=channel,scale=channel,relu=yes",
        COMPOSED,
    )
    .smoke(),
    w("composed.n4_nhwc_5x5", "n=4,c=48,h=28,w=28,k=64,r=5,s=5,pt=2,pl=2,pb=2,pr=2,layout=nhwc,bias=channel", COMPOSED),
    w("study.winograd_c16", "c=16,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
    w("study.winograd_c32", "c=32,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
    w("study.winograd_c64", "c=64,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
    w("study.winograd_c128", "c=128,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
    w("study.winograd_c256", "c=256,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
    w("study.winograd_c512", "c=512,h=28,w=28,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", STUDY),
];
