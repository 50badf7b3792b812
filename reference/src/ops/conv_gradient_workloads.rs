//! Workloads of the gradients of `conv2d`, and of `conv_transpose2d`.

use crate::Workload;

const TORCHBENCH: &str = "TorchBench operator logs";
/// Batches by pixels with groups and strides, which the layers of networks do not have.
const COMPOSED: &str = "composed for the suite";
pub(super) const OWN: &str = "shapes of image generators and of segmentation networks";

pub(super) const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

pub(super) const fn smoke(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source).smoke()
}

/// The layers of ResNet-50, and one of each other kind.
pub(super) const BACKWARD: &[Workload] = &[
    w("resnet50v1.5.conv1", "c=3,h=224,w=224,k=64,r=7,s=7,sh=2,sw=2,pt=3,pl=3,pb=3,pr=3", TORCHBENCH),
    w("resnet50.res2a_2a", "c=64,h=56,w=56,k=64", TORCHBENCH),
    w("resnet50.res2x_2b", "c=64,h=56,w=56,k=64,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res2x_2c", "c=64,h=56,w=56,k=256", TORCHBENCH),
    w("resnet50.res2b_2a", "c=256,h=56,w=56,k=64", TORCHBENCH),
    w("resnet50.res3a_2a", "c=256,h=56,w=56,k=128", TORCHBENCH),
    w("resnet50.res3a_2b_s2", "c=128,h=56,w=56,k=128,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res3a_branch1_s2", "c=256,h=56,w=56,k=512,sh=2,sw=2", TORCHBENCH),
    w("resnet50.res3b_2b", "c=128,h=28,w=28,k=128,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res3x_2c", "c=128,h=28,w=28,k=512", TORCHBENCH),
    smoke("resnet50.res4b_2b", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4x_2c", "c=256,h=14,w=14,k=1024", TORCHBENCH),
    w("resnet50.res4b_2a", "c=1024,h=14,w=14,k=256", TORCHBENCH),
    w("resnet50.res5b_2b", "c=512,h=7,w=7,k=512,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res5x_2c", "c=512,h=7,w=7,k=2048", TORCHBENCH),
    w("resnet50.res5b_2a", "c=2048,h=7,w=7,k=512", TORCHBENCH),
    w("resnet50.res4b_2b_n4", "n=4,c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1", TORCHBENCH),
    w("resnet50.res4b_2b_nhwc", "c=256,h=14,w=14,k=256,r=3,s=3,pt=1,pl=1,pb=1,pr=1,layout=nhwc", TORCHBENCH),
    w("mobilenet_v1.dw5_1", "c=1,h=14,w=14,k=1,r=3,s=3,g=512,pt=1,pl=1,pb=1,pr=1", "oneDNN benchdnn, conv shapes"),
    smoke("composed.n5_nhwc_g2_s2", "n=5,c=18,h=20,w=17,k=20,r=3,s=3,g=2,sh=2,sw=2,pt=1,pl=1,layout=nhwc", COMPOSED),
];

pub(super) const TRANSPOSED: &[Workload] = &[
    w("k4s2.c64_h14", "c=64,h=14,w=14,k=64,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k4s2.c64_h56", "c=64,h=56,w=56,k=64,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    smoke("k4s2.c128_h28", "c=128,h=28,w=28,k=64,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k4s2.c256_h14", "c=256,h=14,w=14,k=128,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k4s2.c256_h28", "c=256,h=28,w=28,k=128,r=4,s=4,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1", OWN),
    w("k2s2.c64_h14", "c=64,h=14,w=14,k=32,r=2,s=2,sh=2,sw=2", OWN),
    w("k2s2.c64_h56", "c=64,h=56,w=56,k=32,r=2,s=2,sh=2,sw=2", OWN),
    w("k2s2.c128_h28", "c=128,h=28,w=28,k=64,r=2,s=2,sh=2,sw=2,bias=channel", OWN),
    w("k2s2.c256_h14", "c=256,h=14,w=14,k=128,r=2,s=2,sh=2,sw=2", OWN),
    w("k2s2.c256_h56", "c=256,h=56,w=56,k=128,r=2,s=2,sh=2,sw=2", OWN),
    smoke("composed.n5_g2_s3", "n=5,c=12,h=9,w=10,k=10,r=4,s=3,g=2,sh=3,sw=2,pt=1,pl=1,bias=channel", COMPOSED),
    w("k3s2.c128_h28_nhwc", "c=128,h=28,w=28,k=64,r=3,s=3,sh=2,sw=2,pt=1,pl=1,pb=1,pr=1,oh=1,ow=1,layout=nhwc", OWN),
];
