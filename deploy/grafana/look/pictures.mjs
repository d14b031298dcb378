// Draws dashboards in a headless Chromium and writes one picture for each row of each, in light and dark.
// `node pictures.mjs ORDER.json`, whose fields are those of `Order` in look.py; prints a line of JSON for each picture.
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const PATIENCE_MS = 60_000;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const order = JSON.parse(await readFile(process.argv[2], 'utf8'));
const browser = await chromium.launch({ executablePath: order.chromium, args: FLAGS });
try {
  for (const dashboard of order.dashboards) {
    for (const theme of order.themes) {
      await draw(dashboard, theme);
    }
  }
} finally {
  await browser.close();
}

async function draw(dashboard, theme) {
  const page = await browser.newPage({ viewport: { width: 1616, height: 1000 } });
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  const asked = new URLSearchParams({ dashboard, theme, ...order.parameters });
  await page.goto(`${order.address}/?${asked}`);
  await page.waitForSelector('body[data-drawn]', { timeout: PATIENCE_MS }).catch(() => faults.push('not all panels were drawn'));
  await page.evaluate(() => document.fonts.ready);
  const told = await page.evaluate(() => ({ ...document.body.dataset }));
  const empty = JSON.parse(told.empty ?? '[]');
  faults.push(...JSON.parse(told.faults ?? '[]'));
  const rows = page.locator('section[data-row]');
  for (let number = 0; number < (await rows.count()); number++) {
    const row = rows.nth(number);
    const title = await row.getAttribute('data-row');
    const name = `${String(number + 1).padStart(2, '0')}-${title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/-+$/, '')}`;
    if (order.rows.length === 0 || order.rows.some((wanted) => title.toLowerCase().includes(wanted.toLowerCase()))) {
      const picture = `${order.out}/${dashboard}/${name}.${theme}.png`;
      await row.screenshot({ path: picture });
      console.log(JSON.stringify({ picture }));
    }
  }
  console.log(JSON.stringify({ dashboard, theme, empty, faults }));
  await page.close();
}
