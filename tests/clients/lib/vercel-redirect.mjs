// Preloaded (node --import): every fetch of https://vercel.com/api goes to $VERCEL_API_BASE, and the
// CLI's look at the health of a terminal's host, too, which it wants over https whatever the URL says.
const base = process.env.VERCEL_API_BASE;
const real = globalThis.fetch;
globalThis.fetch = (url, options) => {
  const text = String(url instanceof Request ? url.url : url);
  if (text.startsWith('https://vercel.com/api')) return real(text.replace('https://vercel.com/api', `${base}/api`), options);
  if (text === `https://${new URL(base).hostname}/health`) return real(`${base}/health`, options);
  return real(url, options);
};
