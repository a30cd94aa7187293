import { defineConfig } from 'vite';

// Relative addresses: the page stands below any prefix (jupyter-server-proxy, a hub, a proxy).
export default defineConfig({
  base: './',
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 6000, sourcemap: false },
});
