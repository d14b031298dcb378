// The page that draws dashboards. Grafana's libraries expect a bundler that fills in Node's `process` and `global`.
import { defineConfig } from 'vite';

export default defineConfig({
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'globalThis' },
  esbuild: { jsx: 'automatic' },
  build: { minify: false, reportCompressedSize: false, chunkSizeWarningLimit: 100_000, target: 'es2022' },
});
