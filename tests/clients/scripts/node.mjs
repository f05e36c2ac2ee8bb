// The npm clients: cohere-ai, @ai-sdk/cohere, @langchain/cohere, voyageai.
import { createCohere } from "@ai-sdk/cohere";
import { CohereRerank } from "@langchain/cohere";
import { rerank } from "ai";
import { CohereClient, CohereClientV2 } from "cohere-ai";
import { VoyageAIClient } from "voyageai";

const [url, query, json] = process.argv.slice(2);
const documents = JSON.parse(json);
const found = {};
const pairs = (results) => results.map((result) => [result.index, result.relevanceScore]);

const v2 = new CohereClientV2({ token: "any", environment: url });
found["cohere"] = pairs((await v2.rerank({ model: "mini", query, documents })).results);
found["cohere top_n"] = pairs((await v2.rerank({ model: "mini", query, documents, topN: 2 })).results);

const ai = await rerank({ model: createCohere({ apiKey: "any", baseURL: `${url}/v2` }).reranking("mini"), query, documents, topN: 2 });
found["ai-sdk top_n"] = ai.ranking.map((result) => [result.originalIndex, result.score]);

const langchain = new CohereRerank({ model: "mini", topN: 2, client: new CohereClient({ token: "any", environment: url }) });
found["langchain top_n"] = pairs(await langchain.rerank(documents, query));

const voyage = new VoyageAIClient({ apiKey: "any", environment: `${url}/v1` });
found["voyage top_n"] = pairs((await voyage.rerank({ model: "mini", query, documents, topK: 2 })).data);

try {
  await v2.rerank({ model: "nobody", query, documents }, { maxRetries: 0 });
} catch (error) {
  found["error"] = error.statusCode === 404;
}
console.log(JSON.stringify(found));
