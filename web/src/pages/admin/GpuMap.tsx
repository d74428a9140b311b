export default function GpuMap() { return null; }
