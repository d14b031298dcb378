// Grafana's text panel, for the little Markdown that the dashboards use: paragraphs, emphasis, code and links.
import { renderMarkdown } from '@grafana/data';

export function Text({ content }: { content: string }) {
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(content) }} />;
}
